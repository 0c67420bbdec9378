"""Image vectors in, pairs of reference and target image of suitable similarity rank out.

Open `stage.py` first.
"""
