"""Vectors of a batch and of the bank in, a loss out.

Open `base.py` first: it lists the losses and says what a loss gets.
"""
