"""Composed queries and a gallery in, one score per image out, by one source of evidence each.

Open `base.py` first: it lists the channels.
"""
