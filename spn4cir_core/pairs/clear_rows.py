"""Picks of many references at once, where their lists of nearest neighbours leave no doubt.

Where no two scores in question lie within the rounding error of each other, the order of a list is the true
one and nothing has to be compared again. The other rows are left to ``pick_in_row``; both pick the same.
"""

from __future__ import annotations

import numpy as np

from spn4cir_core.pairs.allowed import Allowed
from spn4cir_core.pairs.draws import draw
from spn4cir_core.pairs.picks import Picks, Vectors
from spn4cir_core.pairs.rank_window import RankWindow, rounding_error


def pick_clear_rows(
    vectors: Vectors,
    rows_B: np.ndarray,
    scores_BK: np.ndarray,
    columns_BK: np.ndarray,
    window: RankWindow,
    keys_B: np.ndarray,
    per_reference: int,
    allowed: Allowed,
) -> tuple[Picks, np.ndarray]:
    """Pick targets in the rows where everything drawn is clear and allowed.

    Args:
        scores_BK: the best scores of each row, best first, its own among them.
        columns_BK: the rows they belong to.

    Returns:
        The picks in the order of rows and draws, and (B,) bool: which rows are picked in full.
    """
    if columns_BK.shape[1] < window.end + 2:
        return Picks.of([]), np.zeros(len(rows_B), bool)
    scores_BJ, columns_BJ, clear_B = _others(rows_B, scores_BK, columns_BK)
    apart_BK = _apart(scores_BJ, 2 * rounding_error(vectors.dimensions))
    members_BW = columns_BJ[:, window.first : window.end]
    clear_B &= apart_BK[:, window.first] & apart_BK[:, window.end]
    clear_B &= (allowed.category[members_BW] == allowed.category[rows_B][:, None]).all(1)
    drawn_BR = _drawn(keys_B, members_BW.shape[1], per_reference)
    ranks_BR = window.first + np.take_along_axis(np.argsort(members_BW, axis=1), drawn_BR, 1)
    targets_BR = np.take_along_axis(columns_BJ, ranks_BR, 1)
    for side in (0, 1):
        clear_B &= np.take_along_axis(apart_BK, ranks_BR + side, 1).all(1)
    references = np.repeat(rows_B[clear_B], targets_BR.shape[1])
    targets, ranks = targets_BR[clear_B].ravel(), ranks_BR[clear_B].ravel()
    scores = vectors.cosines(references, targets)
    good = (allowed.check(references, targets, scores) == 0).reshape(-1, targets_BR.shape[1]).all(1)
    clear_B[np.flatnonzero(clear_B)[~good]] = False
    is_picked = np.repeat(good, targets_BR.shape[1])
    kinds = (np.int32, np.int32, np.int32, np.float32)
    columns = (references, targets, ranks, scores)
    return Picks(*(column[is_picked].astype(kind) for column, kind in zip(columns, kinds, strict=True))), clear_B


def _others(
    rows_B: np.ndarray, scores_BK: np.ndarray, columns_BK: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores and columns without the row itself, and whether it was in its list."""
    own_BK = columns_BK == rows_B[:, None]
    position_B1 = own_BK.argmax(1)[:, None]
    left = np.arange(columns_BK.shape[1] - 1)[None, :]
    other_BJ = left + (left >= position_B1)
    return np.take_along_axis(scores_BK, other_BJ, 1), np.take_along_axis(columns_BK, other_BJ, 1), own_BK.any(1)


def _apart(scores_BJ: np.ndarray, distance: float) -> np.ndarray:
    """(B, J + 1) bool: whether rank r is surely worse than rank r - 1; nothing is known of what follows the last."""
    apart_BK = np.zeros((len(scores_BJ), scores_BJ.shape[1] + 1), bool)
    apart_BK[:, 0] = True
    apart_BK[:, 1:-1] = scores_BJ[:, :-1] - scores_BJ[:, 1:] > distance
    return apart_BK


def _drawn(keys_B: np.ndarray, size: int, count: int) -> np.ndarray:
    """The first ``count`` of ``shuffled(size, key)`` for each key: (B, min(size, count))."""
    each = np.arange(len(keys_B))
    order_BS = np.tile(np.arange(size), (len(keys_B), 1))
    count = min(size, count)
    for step in range(count):
        position_B = step + (draw(keys_B, step) % np.uint64(size - step)).astype(np.int64)
        drawn_B = order_BS[each, position_B]
        order_BS[each, position_B] = order_BS[:, step]
        order_BS[:, step] = drawn_B
    return order_BS[:, :count]
