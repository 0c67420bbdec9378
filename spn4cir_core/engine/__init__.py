"""What every stage stands on: `stage.py` (a function of settings and parents), `plugins.py` (recipe tables that become
objects), `batches.py` (resumable shards), processes and progress. It knows no stage and no room.
"""
