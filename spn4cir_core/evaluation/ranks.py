"""Exact ranks of targets by counting better scores, block by block; nothing is sorted.

A rank is the number of gallery images that stand before the best target, from 0. Scores closer than ``TIE`` (the
rounding error of a float32 product of unit vectors) are ties; of the candidates that tie with the target, half stand
before it. The middle one of an odd number does so for half of the queries (:func:`middles`): a tie of two counts half.
So a model that gives every image one score gets no credit, and a result does not depend on the order of the gallery.

The published evaluations sort, which decides by differences of any size and, where there is none, by chance.
``"published"`` does the same, and takes equal scores in the order of the gallery.

Scores are those of float64, however the fast products of :mod:`.score_blocks` were computed: ranks and hits are the
same whatever they are computed in and whatever the size of the blocks.

A gallery is (N, D), or (N, T, D) where an image has T vectors: its score is then the highest of the T.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from zlib import crc32

import numpy as np

from spn4cir_core.evaluation.score_blocks import Block, BlockSize, GalleryRows, exact_scores, score_blocks

TIE = 1e-6
SCORE_TIE = 1e-5
"""Sums of float32 standard scores that differ by less are ties; such sums are about 10 at most."""
SIZE = BlockSize()
Ties = Literal["half", "published"]


def middles(query_ids: Sequence[str]) -> np.ndarray:
    """(Q,) 1 where the middle one of an odd number of ties stands before the target, else 0; drawn by the ids."""
    return np.array([crc32(query_id.encode()) & 1 for query_id in query_ids], np.int64)


def best_ranks(
    queries_QD: np.ndarray,
    gallery: np.ndarray,
    targets: Sequence[Sequence[int]],
    removed: Sequence[Sequence[int]] | None = None,
    size: BlockSize = SIZE,
    ties: Ties = "half",
    middles_Q: np.ndarray | None = None,
) -> np.ndarray:
    """Rank of each query's best target: (Q,) int32, from 0.

    Other targets of the query and ``removed`` images stand before nothing.

    Args:
        queries_QD, gallery: unit vectors; the gallery may be memory-mapped, it is read in blocks.
        targets: gallery rows that are right, at least one per query.
        removed: gallery rows that are not in the query's gallery (its reference image, say).
        middles_Q: of :func:`middles`; None: the middle one of an odd number of ties always stands before the target.

    Raises:
        ValueError: a query has no target, or only removed ones.
        InputError: a vector holds something that is no finite number.
    """
    ranks = _Ranks(queries_QD, gallery, targets, removed, ties, middles_Q)
    for block in score_blocks(queries_QD, gallery, size):
        ranks.add(block)
    return ranks.result()


def top_hits(
    queries_QD: np.ndarray,
    gallery: np.ndarray,
    top: int,
    removed: Sequence[Sequence[int]] | None = None,
    size: BlockSize = SIZE,
) -> tuple[np.ndarray, np.ndarray]:
    """Best gallery rows of each query and their float32 scores: two (Q, min(top, N)) arrays, equal scores by row.

    A removed image ranks behind all others, with score −inf.

    Raises:
        InputError: a vector holds something that is no finite number.
    """
    hits = _Hits(len(queries_QD), min(top, len(gallery)), removed)
    for block in score_blocks(queries_QD, gallery, size):
        hits.add(block)
    return hits.result()


def ranks_and_hits(
    queries_QD: np.ndarray,
    gallery: np.ndarray,
    targets: Sequence[Sequence[int]],
    removed: Sequence[Sequence[int]],
    top: int,
    ties: Ties = "half",
    middles_Q: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What :func:`best_ranks` and :func:`top_hits` give, from one pass over the gallery."""
    ranks = _Ranks(queries_QD, gallery, targets, removed, ties, middles_Q)
    hits = _Hits(len(queries_QD), min(top, len(gallery)), removed)
    for block in score_blocks(queries_QD, gallery, SIZE):
        hits.add(block)
        ranks.add(block)
    return ranks.result(), *hits.result()


def ranks_of_scores(
    scores_QN: np.ndarray,
    targets: Sequence[Sequence[int]],
    removed: Sequence[Sequence[int]],
    top: int,
    ties: Ties = "half",
    middles_Q: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As :func:`ranks_and_hits`, from scores that are there already; those closer than ``SCORE_TIE`` are ties.

    Args:
        scores_QN: any float; a removed image's is not read.

    Raises:
        ValueError: a query has no target, or only removed ones.
    """
    left_QN = scores_QN.astype(np.float32)
    gone = GalleryRows(removed)
    left_QN[gone.queries, gone.rows] = -np.inf
    hits_QK = np.argsort(-left_QN, axis=1, kind="stable")[:, :top]
    best_QK = np.take_along_axis(left_QN, hits_QK, axis=1)
    own = GalleryRows(_remaining(targets, removed, len(left_QN)))
    best_Q = np.full(len(left_QN), -np.inf, np.float32)
    np.maximum.at(best_Q, own.queries, left_QN[own.queries, own.rows])
    is_best = left_QN[own.queries, own.rows] == best_Q[own.queries]
    row_Q = np.full(len(left_QN), left_QN.shape[1])
    np.minimum.at(row_Q, own.queries[is_best], own.rows[is_best])
    left_QN[own.queries, own.rows] = -np.inf
    best_Q1 = best_Q[:, None]
    if ties == "published":
        stands_before_QN = np.arange(left_QN.shape[1]) < row_Q[:, None]
        better_QN, before_Q = left_QN > best_Q1, np.count_nonzero((left_QN == best_Q1) & stands_before_QN, axis=1)
    else:
        better_QN = left_QN > best_Q1 + np.float32(SCORE_TIE)
        ties_Q = np.count_nonzero(np.abs(left_QN - best_Q1) <= np.float32(SCORE_TIE), axis=1)
        before_Q = (ties_Q + (1 if middles_Q is None else middles_Q)) // 2
    return (np.count_nonzero(better_QN, axis=1) + before_Q).astype(np.int32), hits_QK, best_QK


def half_of(ties: int, middles_Q: np.ndarray | None, query: int) -> int:
    """How many of the ties with a query's target stand before it."""
    return (ties + (1 if middles_Q is None else int(middles_Q[query]))) // 2


def _remaining(targets: Sequence[Sequence[int]], removed: Sequence[Sequence[int]], queries: int) -> list[list[int]]:
    """Targets of each query that are not removed.

    Raises:
        ValueError: a query has none.
    """
    gone = [set(rows) for rows in removed]
    remaining = [[row for row in rows if row not in out] for rows, out in zip(targets, gone, strict=True)]
    if len(remaining) != queries or not all(remaining):
        raise ValueError(f"{queries} queries, {sum(map(bool, remaining))} with a target in the gallery")
    return remaining


class _Ranks:
    """Counts what stands before each query's best target in the blocks seen so far."""

    def __init__(
        self,
        queries_QD: np.ndarray,
        gallery: np.ndarray,
        targets: Sequence[Sequence[int]],
        removed: Sequence[Sequence[int]] | None,
        ties: Ties,
        middles_Q: np.ndarray | None,
    ) -> None:
        self.sorted, self.tie = ties == "published", 0.0 if ties == "published" else TIE
        self.middles_Q = np.ones(len(queries_QD), np.int64) if middles_Q is None else middles_Q
        gone = removed if removed is not None else [()] * len(targets)
        remaining = _remaining(targets, gone, len(queries_QD))
        right = GalleryRows(remaining)
        self.excluded = GalleryRows([[*rows, *out] for rows, out in zip(remaining, gone, strict=True)])
        self.best_Q = np.full(len(remaining), -np.inf)
        scores = exact_scores(queries_QD, gallery, right.queries, right.rows)
        np.fmax.at(self.best_Q, right.queries, scores)
        best = scores == self.best_Q[right.queries]
        self.row_Q = np.full(len(remaining), len(gallery))
        np.minimum.at(self.row_Q, right.queries[best], right.rows[best])
        self.better_Q, self.ties_Q = np.zeros(len(remaining), np.int64), np.zeros(len(remaining), np.int64)

    def add(self, block: Block) -> None:
        block.leave_out(self.excluded)
        best_Q = self.best_Q[block.queries]
        high_Q, low_Q = best_Q + self.tie, best_Q - self.tie
        better_Qn = block.above(high_Q)
        counts = [np.count_nonzero(better_Qn, axis=1)]
        rows, columns = block.pairs(block.perhaps_from(low_Q) ^ better_Qn)

        scores, errors = block.pair_scores(rows, columns)
        better, unsure = _sides(scores, low_Q[rows] - errors, high_Q[rows] + errors)
        counts.append(np.bincount(rows[better], minlength=len(best_Q)))
        rows, columns = rows[unsure], columns[unsure]

        better, ties = _sides(block.exact(rows, columns, self.sorted), low_Q[rows], high_Q[rows])
        counts.append(np.bincount(rows[better], minlength=len(best_Q)))
        if self.sorted:
            ties &= columns + block.first < self.row_Q[block.queries][rows]
        self.better_Q[block.queries] += np.sum(counts, axis=0)
        self.ties_Q[block.queries] += np.bincount(rows[ties], minlength=len(best_Q))

    def result(self) -> np.ndarray:
        """(Q,) int32."""
        before_Q = self.ties_Q if self.sorted else (self.ties_Q + self.middles_Q) // 2
        ranks_Q: np.ndarray = (self.better_Q + before_Q).astype(np.int32)
        return ranks_Q


def _sides(scores: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a score is above ``high``, and where it is between the limits or on one of them."""
    above = scores > high
    return above, ~above & (scores >= low)


class _Hits:
    """The best images of each query among the blocks seen so far; removed ones behind all others."""

    def __init__(self, queries: int, top: int, removed: Sequence[Sequence[int]] | None) -> None:
        self.rows_QK = np.zeros((queries, top), np.int64)
        self.scores_QK = np.full((queries, top), -np.inf, np.float32)
        self.removed = GalleryRows(removed if removed is not None else [()] * queries)

    def add(self, block: Block) -> None:
        """Take what may be among the best of all images seen so far; the rest cannot be."""
        block.leave_out(self.removed)
        (queries, top), span = self.rows_QK[block.queries].shape, block.queries
        before = min(block.first, top)
        rows, columns = block.pairs(block.perhaps_from(self._limits(block)))
        is_excluded = np.isneginf(block.scores_Qn[rows, columns])
        query_rows = np.concatenate([np.repeat(np.arange(queries), before), rows])
        images = np.concatenate([self.rows_QK[span, :before].ravel(), columns + block.first])
        new_scores = np.where(is_excluded, -np.inf, block.exact(rows, columns)).astype(np.float32)
        scores = np.concatenate([self.scores_QK[span, :before].ravel(), new_scores])
        order = np.lexsort((images, -scores, query_rows))
        counts_Q = np.bincount(query_rows, minlength=queries)
        positions = np.arange(len(order)) - np.repeat(np.cumsum(counts_Q) - counts_Q, counts_Q)
        best, positions = order[positions < top], positions[positions < top]
        self.rows_QK[query_rows[best] + span.start, positions] = images[best]
        self.scores_QK[query_rows[best] + span.start, positions] = scores[best]

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """(Q, K) gallery rows and scores, best first."""
        return self.rows_QK, self.scores_QK

    def _limits(self, block: Block) -> np.ndarray:
        """(Q,) what ``top`` images of those seen so far are known to score at least."""
        top, images = self.rows_QK.shape[1], block.scores_Qn.shape[1]
        if block.first >= top:
            limits_Q: np.ndarray = self.scores_QK[block.queries, -1].astype(np.float64)
            return limits_Q
        if images <= top:
            return np.full(len(block.scores_Qn), -np.inf)
        return block.at_least(np.partition(block.scores_Qn, images - top, axis=1)[:, images - top])
