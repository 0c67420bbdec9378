"""How many candidates stand before the target: counted in blocks, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

STEPS = 4000
"""Unit vectors are kept as whole multiples of 1/4000.

A product of two such vectors is a sum of whole numbers, and by Cauchy and Schwarz no partial sum leaves the range in
which float32 holds whole numbers exactly (2^24, up to 36,000 dimensions). So equal vectors tie exactly, and no
block size or number of threads changes a rank.
"""
OUTSIDE = -1
"""Row of an image that is no candidate."""


def on_grid(vectors_BD: np.ndarray) -> np.ndarray:
    """Vectors of any length as int16 multiples of 1/4000 of unit length; zero stays zero."""
    wide_BD = vectors_BD.astype(np.float64)
    length_B1 = np.sqrt((wide_BD**2).sum(axis=1, keepdims=True))
    steps_BD: np.ndarray = np.rint(wide_BD / np.maximum(length_B1, 1e-12) * STEPS).astype(np.int16)
    return steps_BD


def count_before(
    queries_QD: np.ndarray,
    targets_QD: np.ndarray,
    candidates_ND: np.ndarray,
    excluded_rows: Sequence[np.ndarray],
    query_rows: int = 512,
    candidate_rows: int = 16_384,
) -> tuple[np.ndarray, np.ndarray]:
    """Count the candidates that a query fits better than its target, and those it fits as well.

    Args:
        queries_QD: int16, from :func:`on_grid`, as are the others.
        targets_QD: row q is the target of query q.
        excluded_rows: for each kind of image that is not counted (target, reference) the candidate row (Q,) of each
            query, or -1 where it is not a candidate. No row may be named twice for a query.
        query_rows, candidate_rows: size of a block; memory is their product times 4 bytes.

    Returns:
        (Q,) int64 each: better ones, and ties.
    """
    better, ties = np.zeros(len(queries_QD), np.int64), np.zeros(len(queries_QD), np.int64)
    for first in range(0, len(queries_QD), query_rows):
        part = slice(first, first + query_rows)
        queries_BD = queries_QD[part].astype(np.float32)
        score_B1 = (queries_BD * targets_QD[part]).sum(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
        for start in range(0, len(candidates_ND), candidate_rows):
            block_CD = candidates_ND[start : start + candidate_rows].astype(np.float32)
            scores_BC = queries_BD @ block_CD.T
            for rows in excluded_rows:
                here = (rows[part] >= start) & (rows[part] < start + len(block_CD))
                scores_BC[here, rows[part][here] - start] = -np.inf
            better[part] += (scores_BC > score_B1).sum(axis=1)
            ties[part] += (scores_BC == score_B1).sum(axis=1)
    return better, ties


def ranks(better: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """Ranks from 0; of the candidates that tie with the target half stand before it, rounded up."""
    before: np.ndarray = better + (ties + 1) // 2
    return before
