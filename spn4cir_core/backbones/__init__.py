"""Settings of a query encoder and a target encoder in, networks that embed both into one space out.

Open `base.py` first; each family of networks has a folder with its settings, its network and the layout of its
published files.
"""
