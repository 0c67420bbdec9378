"""Images in, one unit-norm vector per image out.

Open `stage.py` first; `base.py` lists the image encoders.
"""
