"""Recall@k and average precision, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DRAWS_AT_ONCE = 100


def hits_at(ranks_Q: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """(Q, K) floats: 1 where a target is among the first k. Recall@k is the mean of a column."""
    return (ranks_Q[:, None] < np.asarray(ks)[None, :]).astype(np.float64)


def average_precision(right_K: np.ndarray, targets: int) -> float:
    """AP@k of one ranking: (1 / min(#targets, k)) · Σ_r precision(r) · right(r), as CIRCO defines it.

    A perfect ranking scores 1 whatever k and the number of targets, unlike definitions that divide by all
    targets or by those found.

    Args:
        right_K: for each of the first k hits, whether it is a target.
        targets: how many targets the query has.
    """
    right = np.asarray(right_K, np.float64)
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    possible = min(targets, len(right))
    return float((precision * right).sum() / possible) if possible else 0.0


def bootstrap_means(values_QM: np.ndarray, groups_Q: Sequence[str], draws: int, seed: int) -> np.ndarray:
    """Means of resampled queries: (draws, M). Columns share their draws, so differences of columns are paired.

    Queries of one group (one reference image) are drawn together: they are not independent, and intervals
    that ignore it are too narrow.

    Args:
        values_QM: one column per thing measured (model, mode, k).
        groups_Q: the group of each query.
    """
    names, group_of = np.unique(np.asarray(groups_Q, dtype=object).astype(str), return_inverse=True)
    sums_GM = np.zeros((len(names), values_QM.shape[1]))
    np.add.at(sums_GM, group_of, values_QM)
    sizes_G = np.bincount(group_of, minlength=len(names)).astype(np.float64)
    random = np.random.default_rng(seed)
    means = []
    for start in range(0, draws, DRAWS_AT_ONCE):
        rows = min(DRAWS_AT_ONCE, draws - start)
        drawn = random.integers(len(names), size=(rows, len(names)))
        flat = (drawn + np.arange(rows)[:, None] * len(names)).ravel()
        times_RG = np.bincount(flat, minlength=rows * len(names)).reshape(rows, len(names)).astype(np.float64)
        means.append((times_RG @ sums_GM) / (times_RG @ sizes_G)[:, None])
    return np.concatenate(means)


def interval(means_RM: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the central 95 % of resampled means (or of their differences), per column."""
    low_M, high_M = np.quantile(means_RM, [0.025, 0.975], axis=0)
    return low_M, high_M
