"""Which columns of one row of scores hold given ranks, decided exactly although the scores are rounded.

A matrix product rounds, and how depends on block sizes and threads. So it only narrows down: whatever lies
closer to the edge of the window than the rounding error is compared again by ``true_scores``, which rounds
the same way every time. Rank 0 is the best score; equal scores rank by position.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SAMPLE_STRIDE = 16
SAMPLED_FROM = 4096


@dataclass(frozen=True)
class RankWindow:
    """Ranks ``first`` … ``end`` - 1 among ``others`` images (all but the reference image)."""

    first: int
    end: int
    others: int

    @property
    def share(self) -> float:
        """Part of the ranking that the window covers."""
        return (self.end - self.first) / self.others


def window_in_ranks(window: tuple[int, int] | tuple[float, float], images: int) -> RankWindow | None:
    """The window of a recipe (ranks, or shares of the ranking) for a corpus of that many images; None if empty."""
    others = images - 1
    first, end = window
    if isinstance(first, float) or isinstance(end, float):
        first, end = (math.floor(bound * others + 0.5) for bound in window)
    end = min(int(end), others)
    return RankWindow(int(first), end, others) if first < end else None


def rounding_error(dimensions: int) -> float:
    """How far a float32 dot product of unit vectors may be off: eight sigma of a random walk of roundings."""
    return 8 * math.sqrt(dimensions) * 2.0**-24


def window_members(
    scores_M: np.ndarray, first: int, end: int, error: float, true_scores: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Positions, ascending, of ranks ``first`` … ``end`` - 1.

    Args:
        scores_M: scores, each at most ``error`` off; ``-inf`` marks what takes no part.
        true_scores: maps positions to their deciding scores.
    """
    sample = np.sort(scores_M[::SAMPLE_STRIDE]) if len(scores_M) > SAMPLED_FROM else None
    top = _kth_largest(scores_M, first, sample) + 2 * error if first else np.inf
    low = _kth_largest(scores_M, end, sample) - 2 * error
    inside = scores_M >= low
    if first:
        inside &= scores_M <= top
        above = int(np.count_nonzero(scores_M > top))
    else:
        above = 0
    pool = np.flatnonzero(inside)
    surplus_best, surplus_worst = first - above, above + len(pool) - end
    if not surplus_best and not surplus_worst:
        return pool
    values = scores_M[pool]
    upper, lower = values >= top - 4 * error, values <= low + 4 * error
    if (upper & lower).any():
        order = _ordered(pool, true_scores)
        return np.sort(order[surplus_best : len(order) - surplus_worst])
    best = _ordered(pool[upper], true_scores)[:surplus_best]
    worst_edge = _ordered(pool[lower], true_scores)
    worst = worst_edge[len(worst_edge) - surplus_worst :]
    keep = np.ones(len(pool), bool)
    keep[np.searchsorted(pool, best)] = False
    keep[np.searchsorted(pool, worst)] = False
    return np.asarray(pool[keep])


def rank_of(
    scores_M: np.ndarray, position: int, error: float, true_scores: Callable[[np.ndarray], np.ndarray]
) -> tuple[int, float]:
    """Exact rank and deciding score of one position."""
    score = float(true_scores(np.array([position]))[0])
    better = int(np.count_nonzero(scores_M > score + error))
    if np.count_nonzero(scores_M >= score - error) - better <= 1:
        return better, score
    near = np.flatnonzero((scores_M <= score + error) & (scores_M >= score - error))
    rivals = true_scores(near)
    return better + int(np.count_nonzero((rivals > score) | ((rivals == score) & (near < position)))), score


def _ordered(positions: np.ndarray, true_scores: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Positions from the best score to the worst, equal ones ascending."""
    if not len(positions):
        return positions
    return np.asarray(positions[np.argsort(-true_scores(positions), kind="stable")])


def _kth_largest(scores_M: np.ndarray, k: int, sample: np.ndarray | None) -> float:
    """The k-th largest score (k from 1). A sorted sample brackets it, so that only a small part is partitioned."""
    if sample is not None:
        size, share = len(sample), k / len(scores_M)
        slack = 4 * math.sqrt(share * (1 - share) * size) + 2
        upper, lower = size - math.floor(share * size - slack), size - math.ceil(share * size + slack)
        high = sample[upper] if upper < size else np.inf
        if lower >= 0:
            above = int(np.count_nonzero(scores_M > high)) if upper < size else 0
            middle = scores_M[(scores_M <= high) & (scores_M >= sample[lower])]
            if above < k <= above + len(middle):
                return float(np.partition(middle, len(middle) - k + above)[len(middle) - k + above])
    return float(np.partition(scores_M, len(scores_M) - k)[len(scores_M) - k])
