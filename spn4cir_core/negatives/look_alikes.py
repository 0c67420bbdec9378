"""Candidates that look like a target: a search by similarity, block by block, never N × N in memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

GRID = 2048
"""Vectors are rounded to multiples of 1/2048: products are then multiples of 2⁻²² and sums of unit vectors' products
exact in float32, so that no order of summation (threads, block sizes) can move a candidate over the threshold. The
similarities move by about 2e-4."""
SAMPLE_ROWS = 2048


def round_for_exact_products(vectors_ND: npt.NDArray[np.floating]) -> Vectors:
    """Round unit vectors so that their inner products are exact in float32."""
    return (np.round(vectors_ND.astype(np.float32) * GRID) / GRID).astype(np.float32)


def similarity_threshold(targets_TD: Vectors, candidates_ND: Vectors, quantile: float) -> float:
    """The quantile of the similarities between targets and candidates, from at most 2,048 evenly spaced rows of each.

    A target's similarity to itself (1 within the grid) is left out where the rows are equal.
    """
    targets, candidates = _spaced(targets_TD), _spaced(candidates_ND)
    similarities = targets @ candidates.T
    same = (targets[:, None, :8] == candidates[None, :, :8]).all(axis=2)
    others = similarities[~same]
    return float(np.quantile(others, quantile, method="lower")) if len(others) else float("inf")


def upper_fence(targets_TD: Vectors, candidates_ND: Vectors, whisker: float) -> float:
    """Q3 + whisker · (Q3 − Q1) of the similarities that :func:`similarity_threshold` takes its quantile of."""
    low, high = (similarity_threshold(targets_TD, candidates_ND, quantile) for quantile in (0.25, 0.75))
    return high + whisker * (high - low) if np.isfinite(high) else high


def nearest_candidates(
    targets_TD: Vectors, candidates_ND: Vectors, count: int, block_rows: int = 256
) -> list[npt.NDArray[np.int64]]:
    """For each target the rows of the ``count`` most similar candidates, the most similar first, equal ones by row.

    Args:
        targets_TD: vectors from :func:`round_for_exact_products`.
        candidates_ND: vectors from :func:`round_for_exact_products`.
    """
    rows: list[npt.NDArray[np.int64]] = []
    for first in range(0, len(targets_TD), block_rows):
        distances = -(targets_TD[first : first + block_rows] @ candidates_ND.T)
        rows += list(np.argsort(distances, axis=1, kind="stable")[:, :count].astype(np.int64))
    return rows


def _spaced(vectors: Vectors) -> Vectors:
    return vectors[:: max(1, -(-len(vectors) // SAMPLE_ROWS))]


def rows_above(
    targets_TD: Vectors, candidates_ND: Vectors, threshold: float, block_rows: int = 4096
) -> list[npt.NDArray[np.int64]]:
    """For each target the sorted rows of the candidates whose similarity lies above the threshold.

    Args:
        targets_TD: vectors from :func:`round_for_exact_products`.
        candidates_ND: vectors from :func:`round_for_exact_products`.
        threshold: a cosine; equal ones are not above it.
        block_rows: targets and candidates compared at a time; memory is its square, the result does not depend on it.
    """
    parts_of: list[list[npt.NDArray[np.int64]]] = [[] for _ in range(len(targets_TD))]
    for first in range(0, len(targets_TD), block_rows):
        block = targets_TD[first : first + block_rows]
        for start in range(0, len(candidates_ND), block_rows):
            above = block @ candidates_ND[start : start + block_rows].T > threshold
            target_rows, candidate_rows = np.nonzero(above)
            bounds = np.searchsorted(target_rows, np.arange(len(block) + 1))
            for row in range(len(block)):
                if bounds[row] < bounds[row + 1]:
                    parts_of[first + row].append(candidate_rows[bounds[row] : bounds[row + 1]] + start)
    return [np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64) for parts in parts_of]
