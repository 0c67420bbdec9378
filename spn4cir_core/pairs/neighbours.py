"""Pairs from windows near the top of the ranking, by each reference's nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from spn4cir_core.index.neighbour_index import FLAT_UP_TO, MAX_NEIGHBOURS, NeighbourIndex
from spn4cir_core.pairs.allowed import Allowed
from spn4cir_core.pairs.clear_rows import pick_clear_rows
from spn4cir_core.pairs.exact import Row, pick_in_row
from spn4cir_core.pairs.picks import Picks, Vectors
from spn4cir_core.pairs.rank_window import RankWindow, rounding_error

SPARE = 15
BLOCK_ROWS = 4096


def mine_neighbours(
    vectors: Vectors,
    window: RankWindow,
    references: np.ndarray,
    keys: np.ndarray,
    per_reference: int,
    allowed: Allowed,
    tell: Callable[[int], None] = lambda done: None,
    block_rows: int = BLOCK_ROWS,
    flat_up_to: int = FLAT_UP_TO,
) -> tuple[Picks, dict[str, Any]]:
    """Pick targets as ``mine_exact`` does, from each reference's nearest neighbours.

    With a flat index the picks are those of ``mine_exact``; with an inverted file ranks are counted among the
    neighbours found.

    Returns:
        The picks, and the index's details.
    """
    matrix_ND = vectors.matrix()
    index = NeighbourIndex(matrix_ND, flat_up_to=flat_up_to)
    flat = index.details["index"] == "flat"
    count = min(window.end + 1 + SPARE, len(matrix_ND), MAX_NEIGHBOURS)
    parts: list[Picks] = []
    for start in range(0, len(references), block_rows):
        rows = references[start : start + block_rows]
        scores_BK, columns_BK = index.search(matrix_ND[rows], count)
        clear_B = np.zeros(len(rows), bool)
        if flat:
            picks, clear_B = pick_clear_rows(
                vectors, rows, scores_BK, columns_BK, window, keys[rows], per_reference, allowed
            )
            parts.append(picks)
        picked: list[Row] = []
        for block_row in np.flatnonzero(~clear_B).tolist():
            row = int(rows[block_row])
            listed = _without_self(row, scores_BK[block_row], columns_BK[block_row], window, flat, matrix_ND)
            if listed is not None:
                picked += pick_in_row(matrix_ND, row, *listed, int(keys[row]), per_reference, allowed)
        parts.append(Picks.of(picked))
        tell(start + len(rows))
    return Picks.joined(parts).by_reference(), index.details


def _without_self(
    row: int, scores_K: np.ndarray, columns_K: np.ndarray, window: RankWindow, exact: bool, matrix_ND: np.ndarray
) -> tuple[np.ndarray, np.ndarray, RankWindow] | None:
    """Scores and columns of the other images in ascending order of columns, with the window among them.

    Where a flat list ends amid scores that cannot be told apart, the row's whole ranking takes its place.
    """
    keep = (columns_K >= 0) & (columns_K != row)
    scores, columns = scores_K[keep], columns_K[keep]
    if not exact:  # an inverted file keeps rounded vectors: its scores are good for finding only
        scores = matrix_ND[columns] @ matrix_ND[row]
    if exact and len(columns) < window.others:
        slack = 4 * rounding_error(matrix_ND.shape[1])
        if len(scores) < window.end or scores[-1] >= scores[window.end - 1] - slack:
            scores, columns = matrix_ND @ matrix_ND[row], np.arange(len(matrix_ND))
            scores[row] = -np.inf
    order = np.argsort(columns)
    others = min(len(columns), window.others)
    if window.first >= others:
        return None
    return scores[order], columns[order], RankWindow(window.first, min(window.end, others), others)
