"""A grid of recipes and seeds in, one table with intervals out.

Open `grid.py` first.
"""
