"""Pairs and captions in, one modified text or several per pair out.

Open `stages.py` first; `templates.py` fills templates, `base.py` lists the rewriters.
"""
