"""Triplets and the candidate set in, false negatives of each triplet out: candidates that stage 2 must not use as
negatives.

Open `stage.py` first; `guards.py` has the guards, `rules.py` the rules behind them.
"""
