"""Recall@k in smaller galleries, computed exactly from ranks in the whole one; nothing is ranked again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def sizes_up_to(largest: int) -> list[int]:
    """10, 20, 50, 100, … below the size of the whole gallery, and that size itself."""
    steps = (digit * 10**power for power in range(1, 12) for digit in (1, 2, 5))
    return [*(size for size in steps if size < largest), largest]


def expected_recall(
    ranks_Q: np.ndarray,
    galleries_Q: np.ndarray,
    targets_Q: np.ndarray,
    size: int,
    ks: Sequence[int],
    weight_Q: np.ndarray | None = None,
) -> np.ndarray:
    """(K,) recall@k expected if each query's gallery were ``size`` images drawn at random, its targets among them.

    Of M images that are no target, r stand before the best target. In m of them, drawn without replacement, the number
    that do is hypergeometric, and recall@k is the chance that it is below k. A gallery of ``size`` or fewer images
    stays whole.

    Args:
        ranks_Q: ranks of the best targets, from 0, in the whole galleries.
        galleries_Q: images in each query's gallery, its targets included, its reference only if it is ranked.
        targets_Q: targets of each query in its gallery.
        weight_Q: how many queries each stands for; None: one.
    """
    better_Q = np.asarray(ranks_Q, np.int64)
    others_Q = np.asarray(galleries_Q, np.int64) - np.asarray(targets_Q, np.int64)
    drawn_Q = np.minimum(others_Q, np.maximum(0, size - np.asarray(targets_Q, np.int64)))
    keys_Q = (better_Q * (others_Q.max() + 1) + others_Q) * (others_Q.max() + 1) + drawn_Q
    _, cases, case_of = np.unique(keys_Q, return_index=True, return_inverse=True)  # equal cases are computed once
    times = np.bincount(case_of, weight_Q)
    before_CK = _chances(better_Q[cases], others_Q[cases], drawn_Q[cases], max(ks))
    recall_CK = np.minimum(1.0, np.cumsum(before_CK, axis=1)[:, np.asarray(ks) - 1])
    means_K: np.ndarray = times @ recall_CK / times.sum()
    return means_K


def _chances(better_C: np.ndarray, others_C: np.ndarray, drawn_C: np.ndarray, most: int) -> np.ndarray:
    """(C, most): the chances that 0, 1, … of the drawn images are among the better ones."""
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, others_C.max() + 1)))])

    def log_choose(of: np.ndarray, some: np.ndarray) -> np.ndarray:
        possible = (some >= 0) & (some <= of)
        some = np.where(possible, some, 0)
        return np.where(possible, log_factorial[of] - log_factorial[some] - log_factorial[of - some], -np.inf)

    better, worse = better_C[:, None], (others_C - better_C)[:, None]
    better_drawn = np.broadcast_to(np.arange(most)[None, :], (len(better_C), most))
    log_ways = log_choose(better, better_drawn) + log_choose(worse, drawn_C[:, None] - better_drawn)
    chances: np.ndarray = np.exp(log_ways - log_choose(others_C, drawn_C)[:, None])
    return chances
