"""A folder or a benchmark in, a manifest of verified, de-duplicated images out.

Open `stage.py` first; `base.py` lists the readers.
"""
