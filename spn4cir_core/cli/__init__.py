"""The command line: `app.py` has `run`, `search` and `status`; each other file adds the commands of its name."""
