"""Pairs by the exact ranking: one block of the N×N scores at a time, no sort."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spn4cir_core.pairs.allowed import Allowed
from spn4cir_core.pairs.draws import shuffled
from spn4cir_core.pairs.picks import Picks, Vectors
from spn4cir_core.pairs.rank_window import RankWindow, rank_of, rounding_error, window_members

BLOCK_BYTES = 64 * 2**20
DRAWN_FROM_ALL = 0.2
"""Windows of at least this share are met by drawing from all images and ranking what is drawn."""
Row = tuple[int, int, int, float]


def mine_exact(
    vectors: Vectors,
    window: RankWindow,
    references: np.ndarray,
    keys: np.ndarray,
    per_reference: int,
    allowed: Allowed,
    tell: Callable[[int], None] = lambda done: None,
    block_bytes: int = BLOCK_BYTES,
) -> Picks:
    """Pick targets uniformly among the allowed images of the window, without replacement.

    Args:
        references: rows that may be a reference image.
        keys: (N,) uint64, each row's stream of draws.
        tell: called with the number of references done.
        block_bytes: size of a block of scores; changes nothing in the result.
    """
    matrix_ND = vectors.matrix()
    block = max(1, block_bytes // (4 * len(matrix_ND)))
    scores_BN = np.empty((min(block, max(len(references), 1)), len(matrix_ND)), np.float32)
    picked: list[Row] = []
    for start in range(0, len(references), block):
        rows = references[start : start + block]
        scores = np.matmul(matrix_ND[rows], matrix_ND.T, out=scores_BN[: len(rows)])
        for row, scores_N in zip(rows.tolist(), scores, strict=True):
            scores_N[row] = -np.inf
            picked += pick_in_row(matrix_ND, row, scores_N, None, window, int(keys[row]), per_reference, allowed)
        tell(start + len(rows))
    return Picks.of(picked)


def pick_in_row(
    matrix_ND: np.ndarray,
    row: int,
    scores_M: np.ndarray,
    columns_M: np.ndarray | None,
    window: RankWindow,
    key: int,
    per_reference: int,
    allowed: Allowed,
) -> list[Row]:
    """Pick the targets of one reference image from scores that hold every better image than the window's end.

    Args:
        columns_M: ascending rows the scores belong to; None: all N in order.
    """
    reference_D = matrix_ND[row].astype(np.float64)
    error = rounding_error(len(reference_D))

    def true_scores(positions: np.ndarray) -> np.ndarray:
        columns = positions if columns_M is None else columns_M[positions]
        return np.asarray((matrix_ND[columns].astype(np.float64) * reference_D).sum(1))

    if columns_M is None and window.share >= DRAWN_FROM_ALL:
        positions = allowed.of_category(row)
    else:
        positions = window_members(scores_M, window.first, window.end, error, true_scores)
        columns = positions if columns_M is None else columns_M[positions]
        positions = positions[allowed.category[columns] == allowed.category[row]]
    picked: list[Row] = []
    for number in shuffled(len(positions), key):
        position = int(positions[number])
        column = position if columns_M is None else int(columns_M[position])
        if column == row:
            continue
        rank, score = rank_of(scores_M, position, error, true_scores)
        if not window.first <= rank < window.end:
            continue
        code = allowed.check(np.array([row]), np.array([column]), np.array([score]))
        if code[0]:
            allowed.count(code)
            continue
        picked.append((row, column, rank, score))
        if len(picked) == per_reference:
            break
    return picked
