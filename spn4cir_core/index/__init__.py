"""Vectors in, nearest neighbours out: FAISS for search and evaluation (`faiss_index.py`) and for mining
(`neighbour_index.py`).
"""
