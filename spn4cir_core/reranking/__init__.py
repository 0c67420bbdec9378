"""The first hits of a search in a new order, by a model that looks at reference image, text and candidate together.

Open `base.py` first: it lists the rerankers.
"""
