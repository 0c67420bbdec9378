"""How many of the candidates that a miner would take as hard negatives are false negatives, by their rank."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

BANDS = ((1, 1), (2, 5), (6, 10), (11, 50), (51, 200))
"""First and last rank, from 1."""


@dataclass(frozen=True)
class BandRate:
    """Of one miner and one band of ranks.

    Attributes:
        first, last: ranks from 1, both in the band.
        rate: share of the candidates of these ranks that are known false negatives.
        candidates: how many these are, over all triplets.
    """

    miner: str
    first: int
    last: int
    rate: float
    candidates: int


def rates_by_rank(
    miner: str,
    scores_BN: np.ndarray,
    targets_B: Sequence[int],
    false_negatives: Sequence[Collection[int]],
) -> list[BandRate]:
    """The rate of each band that the candidate set reaches.

    Args:
        scores_BN: the miner's score of each candidate for B triplets, higher is taken first; of equal scores the first
            candidate. A candidate of −inf is not taken at all.
        targets_B: each triplet's target, which is left out of the ranks.
        false_negatives: candidate rows that are known to answer each triplet too.
    """
    if not len(scores_BN):
        return []
    scores_BN = scores_BN.astype(np.float64)
    scores_BN[np.arange(len(scores_BN)), list(targets_B)] = -np.inf
    most = min(BANDS[-1][1], scores_BN.shape[1])
    order_BK = np.argsort(-scores_BN, axis=1, kind="stable")[:, :most]
    taken_BK = np.isfinite(np.take_along_axis(scores_BN, order_BK, 1))
    is_false_BK = np.stack(
        [np.isin(order_K, list(own)) for order_K, own in zip(order_BK, false_negatives, strict=True)]
    )
    rates = []
    for first, last in BANDS:
        taken = taken_BK[:, first - 1 : last]
        if taken.any():
            rate = float(is_false_BK[:, first - 1 : last][taken].mean())
            rates.append(BandRate(miner, first, last, rate, int(taken.sum())))
    return rates
