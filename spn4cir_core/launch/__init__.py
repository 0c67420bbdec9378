"""Where stages run: in this process, or in several that `accelerate launch` starts. `run_flow.py` brings stages up to
date in the order of the flow; `launcher.py` starts processes; `worker.py` is what runs in them.
"""
