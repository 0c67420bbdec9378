"""Images in, one caption per image out.

Open `stage.py` first; `base.py` lists the captioners.
"""
