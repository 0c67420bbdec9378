"""Pairs, texts and annotations in, the training set and its candidate set out, with what was refused and why.

Open `stage.py` first.
"""
