"""Recall@k and average precision, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DRAWS_AT_ONCE = 100
NORMAL = 1.96
"""97.5 % quantile of the normal distribution."""
FEW_REFERENCES = 20
"""With fewer reference images their variance says little, and no query counts for more than one."""


def hits_at(ranks_Q: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """(Q, K) floats: 1 where a target is among the first k. Recall@k is the mean of a column."""
    return (ranks_Q[:, None] < np.asarray(ks)[None, :]).astype(np.float64)


def average_precisions(right_QK: np.ndarray, targets_Q: Sequence[int]) -> np.ndarray:
    """(Q,) AP@k of Q rankings: (1 / min(#targets, k)) · Σ_r precision(r) · right(r), as CIRCO defines it.

    A perfect ranking scores 1 whatever k and the number of targets, unlike definitions that divide by all
    targets or by those found.

    Args:
        right_QK: for each of the first k hits, whether it is a target.
        targets_Q: how many targets each query has.
    """
    right = np.asarray(right_QK, np.float64)
    precision = np.cumsum(right, axis=1) / np.arange(1, right.shape[1] + 1)
    possible_Q = np.minimum(targets_Q, right.shape[1])
    means_Q: np.ndarray = (precision * right).sum(axis=1) / np.maximum(possible_Q, 1)
    return means_Q


def average_precision(right_K: np.ndarray, targets: int) -> float:
    """AP@k of one ranking, as :func:`average_precisions`."""
    return float(average_precisions(np.asarray(right_K)[None], [targets])[0])


def bootstrap_means(
    values_QM: np.ndarray, groups_Q: Sequence[str], draws: int, seed: int, weight_Q: np.ndarray | None = None
) -> np.ndarray:
    """Means of resampled queries: (draws, M). Columns share their draws, so differences of columns are paired.

    Queries of one group (one reference image) are drawn together: they are not independent, and intervals
    that ignore it are too narrow.

    Args:
        values_QM: one column per thing measured (model, mode, k).
        groups_Q: the group of each query.
        weight_Q: how many queries each stands for; None: one.
    """
    names, group_of = np.unique(np.asarray(groups_Q, dtype=object).astype(str), return_inverse=True)
    sums_GM = np.zeros((len(names), values_QM.shape[1]))
    np.add.at(sums_GM, group_of, values_QM if weight_Q is None else weight_Q[:, None] * values_QM)
    sizes_G = np.bincount(group_of, weight_Q, minlength=len(names)).astype(np.float64)
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
    """Bounds of the central 95 % of resampled differences, per column; of a share itself :func:`share_interval`."""
    low_M, high_M = np.quantile(means_RM, [0.025, 0.975], axis=0)
    return low_M, high_M


def share_interval(
    values_QM: np.ndarray, groups_Q: Sequence[str], weight_Q: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (M,) of 95 % intervals of shares, Wilson's (1927), on as many independent queries as there are in effect.

    A resampled share of 0 or 1 has no width, and that of few queries too little; Wilson's has its level for few
    queries too (Brown, Cai and DasGupta 2001). Queries of one reference image are not independent: p (1 − p) divided by
    the variance of the mean over reference images is how many would be (Kish 1965; Korn and Graubard 1998). Where that
    variance is 0, as of a share of 0 or 1, each reference image counts once, and unequal ones for less: (Σw)² / Σw²,
    w the weight of its queries.

    Args:
        values_QM: one column per thing measured, 0 … 1.
        groups_Q: the reference image of each query.
        weight_Q: how many queries each stands for; None: one.
    """
    _, group_of = np.unique(np.asarray(groups_Q, dtype=object).astype(str), return_inverse=True)
    groups, queries = int(group_of.max(initial=-1)) + 1, len(values_QM)
    if not queries:
        return np.zeros(values_QM.shape[1]), np.ones(values_QM.shape[1])
    part_Q = np.full(queries, 1 / queries) if weight_Q is None else weight_Q / weight_Q.sum()
    share_M = np.average(values_QM, axis=0, weights=weight_Q)
    sums_GM = np.zeros((groups, values_QM.shape[1]))
    np.add.at(sums_GM, group_of, part_Q[:, None] * (values_QM - share_M))
    variance_M = (sums_GM**2).sum(axis=0)
    spread_M = share_M * (1 - share_M)
    has_variance_M = variance_M > 1e-12
    references = 1 / (np.bincount(group_of, part_Q) ** 2).sum()
    count_M = np.where(has_variance_M, spread_M / np.where(has_variance_M, variance_M, 1), references)
    count_M = np.maximum(1, count_M if groups >= FEW_REFERENCES else np.minimum(count_M, queries))
    centre_M = share_M + NORMAL**2 / (2 * count_M)
    half_M = NORMAL * np.sqrt(spread_M / count_M + NORMAL**2 / (4 * count_M**2))
    divisor_M = 1 + NORMAL**2 / count_M
    low_M, high_M = (centre_M - half_M) / divisor_M, (centre_M + half_M) / divisor_M
    return np.maximum(0, np.minimum(low_M, share_M)), np.minimum(1, np.maximum(high_M, share_M))
