"""Randomisation test of paired differences over reference images (Fisher 1935)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

DRAWS_AT_ONCE = 500
ROUNDING = 1e-9


def randomisation_p(differences_QM: np.ndarray, groups_Q: Sequence[str], draws: int, seed: int) -> np.ndarray:
    """Two-sided p of the mean of each column being 0: (M,), Fisher's test with random signs.

    If the two models were alike, either could have given either answer, so the sign of a difference is a coin's.
    Queries of one group (one reference image) keep one sign: they are not independent. Where few groups differ, all
    signs are tried and p is exact; otherwise it is (1 + draws as extreme) / (1 + draws), which is never 0.

    Args:
        differences_QM: one column per comparison, one row per query.
        groups_Q: the group of each query.
    """
    names, group_of = np.unique(np.asarray(groups_Q, dtype=object).astype(str), return_inverse=True)
    sums_GM = np.zeros((len(names), differences_QM.shape[1]))
    np.add.at(sums_GM, group_of, differences_QM)
    differ_M = np.count_nonzero(sums_GM, axis=0)
    few_M = differ_M < np.log2(draws)
    p_M = np.ones(len(few_M))
    for column in np.flatnonzero(few_M):
        sums_G = sums_GM[sums_GM[:, column] != 0, column]
        p_M[column] = np.mean(_extreme(_all_signs(len(sums_G)), sums_G[:, None]))
    if not few_M.all():
        many_GM = sums_GM[:, ~few_M]
        extreme_M = sum(_extreme(signs_RG, many_GM).sum(axis=0) for signs_RG in _random_signs(len(names), draws, seed))
        p_M[~few_M] = (1 + extreme_M) / (1 + draws)
    return p_M


def _extreme(signs_RG: np.ndarray, sums_GM: np.ndarray) -> np.ndarray:
    """(R, M): whether the sum with those signs is at least as far from 0 as the observed one."""
    far: np.ndarray = np.abs(signs_RG @ sums_GM) >= np.abs(sums_GM.sum(axis=0)) - ROUNDING
    return far


def _all_signs(groups: int) -> np.ndarray:
    bits = np.arange(2**groups)[:, None] >> np.arange(groups)[None, :] & 1
    return 1.0 - 2.0 * bits


def _random_signs(groups: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(seed)
    for start in range(0, draws, DRAWS_AT_ONCE):
        yield 1.0 - 2.0 * random.integers(2, size=(min(DRAWS_AT_ONCE, draws - start), groups))
