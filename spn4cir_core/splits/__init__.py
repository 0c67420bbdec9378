"""Images in, train, validation and evaluation splits out; near-duplicates share a split.

Open `stage.py` first.
"""
