"""Whether a paired difference is more than chance: a randomisation test over reference images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

DRAWS_AT_ONCE = 500
ROUNDING = 1e-9


def randomisation_p(differences_QM: np.ndarray, groups_Q: Sequence[str], draws: int, seed: int) -> np.ndarray:
    """Two-sided p of the mean of each column being 0: (M,), Fisher's test with random signs.

    If the two models were alike, either could have given either answer, so the sign of a difference is a coin's.
    Queries of one group (one reference image) keep one sign: they are not independent. With few groups all signs
    are tried and p is exact; otherwise it is (1 + draws as extreme) / (1 + draws), which is never 0.

    Args:
        differences_QM: one column per comparison, one row per query.
        groups_Q: the group of each query.
    """
    names, group_of = np.unique(np.asarray(groups_Q, dtype=object).astype(str), return_inverse=True)
    sums_GM = np.zeros((len(names), differences_QM.shape[1]))
    np.add.at(sums_GM, group_of, differences_QM)
    observed_M = np.abs(sums_GM.sum(axis=0)) - ROUNDING
    every = 2 ** len(names) if len(names) < 31 else draws + 1
    exact = every <= draws
    extreme_M = np.zeros(sums_GM.shape[1])
    for signs_RG in _all_signs(len(names)) if exact else _random_signs(len(names), draws, seed):
        extreme_M += np.count_nonzero(np.abs(signs_RG @ sums_GM) >= observed_M, axis=0)
    return extreme_M / every if exact else (1 + extreme_M) / (1 + draws)


def _all_signs(groups: int) -> Iterator[np.ndarray]:
    bits = np.arange(2**groups)[:, None] >> np.arange(groups)[None, :] & 1
    yield 1.0 - 2.0 * bits


def _random_signs(groups: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(seed)
    for start in range(0, draws, DRAWS_AT_ONCE):
        yield 1.0 - 2.0 * random.integers(2, size=(min(DRAWS_AT_ONCE, draws - start), groups))
