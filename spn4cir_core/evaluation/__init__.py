"""Composed queries and trained encoders in, ranks and recall@k with intervals out.

Open `measure.py` first; `base.py` lists the evaluators.
"""
