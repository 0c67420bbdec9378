"""Nearest neighbours by FAISS, and pairs from windows near the top of the ranking."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from spn4cir_core.errors import InputError
from spn4cir_core.pairs.allowed import Allowed
from spn4cir_core.pairs.clear_rows import pick_clear_rows
from spn4cir_core.pairs.exact import Row, pick_in_row
from spn4cir_core.pairs.picks import Picks, Vectors
from spn4cir_core.pairs.rank_window import RankWindow, rounding_error

MAX_NEIGHBOURS = 2048
"""FAISS's indexes on GPUs give no more."""
FLAT_UP_TO = 200_000
RECALL_WANTED = 0.95
SPARE = 15
BLOCK_ROWS = 4096


class NeighbourIndex:
    """The k most similar rows of unit vectors: exact (flat) up to ``flat_up_to`` rows, an inverted file above.

    ``details`` says which it is and, for an inverted file, its measured recall.
    """

    def __init__(self, vectors: np.ndarray, seed: int = 0, flat_up_to: int = FLAT_UP_TO) -> None:
        import faiss

        self._index: Any

        rows, dimensions = vectors.shape
        self.details: dict[str, Any] = {"index": "flat"}
        if rows <= flat_up_to:
            self._index = faiss.IndexFlatIP(dimensions)
            self._add(vectors)
        else:
            lists = max(16, int(4 * math.sqrt(rows)))
            quantizer = faiss.IndexFlatIP(dimensions)
            kind = faiss.ScalarQuantizer.QT_fp16
            self._index = faiss.IndexIVFScalarQuantizer(quantizer, dimensions, lists, kind, faiss.METRIC_INNER_PRODUCT)
            self._index.cp.seed = 1234 + seed
            chosen = np.sort(np.random.default_rng(seed).choice(rows, min(rows, 40 * lists), replace=False))
            self._index.train(np.ascontiguousarray(vectors[chosen], np.float32))
            self._add(vectors)
            self._tune(vectors, lists, seed)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores (Q, k) float32, best first, and rows (Q, k) int64; a row of -1 means that fewer were found.

        Raises:
            InputError: k is above 2,048.
        """
        if k > MAX_NEIGHBOURS:
            raise InputError(f"{k} nearest neighbours are more than {MAX_NEIGHBOURS}; use another mode of pairs")
        scores, rows = self._index.search(np.ascontiguousarray(queries, np.float32), k)
        return scores, rows

    def _add(self, vectors: np.ndarray) -> None:
        step = max(BLOCK_ROWS, 1 << 16)
        for start in range(0, len(vectors), step):
            self._index.add(np.ascontiguousarray(vectors[start : start + step], np.float32))

    def _tune(self, vectors: np.ndarray, lists: int, seed: int) -> None:
        """Visit twice as many lists until the recall of a sample's ten nearest is ``RECALL_WANTED``."""
        chosen = np.sort(np.random.default_rng(seed).choice(len(vectors), 200, replace=False))
        queries = np.ascontiguousarray(vectors[chosen], np.float32)
        wanted = _nearest_by_brute_force(vectors, queries, 10)
        visited, recall = 4, 0.0
        while recall < RECALL_WANTED and visited < lists:
            visited = min(lists, 2 * visited)
            self._index.nprobe = visited
            _, found = self.search(queries, 10)
            recall = float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(wanted, found, strict=True)]))
        self.details = {"index": "ivf", "lists": lists, "lists_visited": visited, "recall_at_10": recall}


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
        for place in np.flatnonzero(~clear_B).tolist():
            row = int(rows[place])
            listed = _without_self(row, scores_BK[place], columns_BK[place], window, flat, matrix_ND)
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


def _nearest_by_brute_force(vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    best_scores = np.full((len(queries), k), -np.inf, np.float32)
    best_rows = np.full((len(queries), k), -1)
    for start in range(0, len(vectors), 1 << 16):
        block = np.asarray(vectors[start : start + (1 << 16)], np.float32)
        scores = np.concatenate([best_scores, queries @ block.T], axis=1)
        rows = np.concatenate(
            [best_rows, np.broadcast_to(np.arange(start, start + len(block)), (len(queries), len(block)))], 1
        )
        top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        best_scores, best_rows = np.take_along_axis(scores, top, 1), np.take_along_axis(rows, top, 1)
    return best_rows
