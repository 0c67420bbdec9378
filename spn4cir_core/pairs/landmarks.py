"""Pairs from wide windows without the N×N matrix and without a ranking.

That an image lies in a middle window of another one's ranking is a statement about a quantile: m random
*landmark* images, the same for all, give it to ±sqrt(p (1-p) / m), about ±1 % for m = 2,048. So a reference
needs m scores instead of N; targets are drawn from the whole corpus until one's score lies between the two
quantiles.

Vectors are rounded to integers whose products add up below 2**24. Float32 then adds without rounding, in any
order, so neither block size nor threads can change a comparison.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spn4cir_core.pairs.allowed import Allowed
from spn4cir_core.pairs.draws import draw
from spn4cir_core.pairs.picks import Picks, Vectors
from spn4cir_core.pairs.rank_window import RankWindow

SCALE = 4000.0
"""|round(4000 v)| <= 4000 + sqrt(D) / 2 <= 4096 for D <= 36,864; every partial sum is then an integer <= 2**24."""
BLOCK_ROWS = 1024
MAX_DRAWS = 4096
OUTSIDE_SHARE = 0.022
"""Part of the picks that may lie outside the exact window, by the expected error of two quantiles."""


@dataclass(frozen=True)
class Accuracy:
    """How the picks of a sample stand in the exact ranking."""

    sampled: int
    inside_share: float
    mean_rank_error: float


def landmarks_needed(window: RankWindow) -> int:
    """How many landmarks keep the expected part of picks outside the window below ``OUTSIDE_SHARE``.

    Each quantile is off by sqrt(2 / pi) sigma on average, and half of that lets wrong images in.
    """
    bounds = (window.first / window.others, window.end / window.others)
    spread = sum(math.sqrt(p * (1 - p)) for p in bounds)
    return math.ceil((spread / math.sqrt(2 * math.pi) / (OUTSIDE_SHARE * window.share)) ** 2)


def mine_landmarks(
    vectors: Vectors,
    window: RankWindow,
    references: np.ndarray,
    keys: np.ndarray,
    per_reference: int,
    allowed: Allowed,
    landmarks: int,
    seed: int,
    tell: Callable[[int], None] = lambda done: None,
    block_rows: int = BLOCK_ROWS,
) -> Picks:
    """Pick targets uniformly among the allowed images whose estimated rank lies in the window.

    Arguments as for ``mine_exact``; ``rank`` is the estimate. Time grows with N, memory does not.
    """
    landmark_rows = np.sort(np.random.default_rng(seed).choice(len(vectors), landmarks, replace=False))
    landmarks_MD = whole(vectors.take(landmark_rows))
    draws = _Draws(vectors, keys, allowed, window, per_reference)
    parts = []
    for start in range(0, len(references), block_rows):
        rows = references[start : start + block_rows]
        rows_BD = whole(vectors.take(rows))
        scores_BM = rows_BD @ landmarks_MD.T
        column = np.minimum(np.searchsorted(landmark_rows, rows), landmarks - 1)
        own = landmark_rows[column] == rows
        scores_BM[own, column[own]] = -np.inf
        scores_BM.sort(axis=1)
        picks = draws.pick(rows, rows_BD, *_bounds(scores_BM, window))
        parts.append(_ranked(picks, scores_BM, window))
        tell(start + len(rows))
    picks = Picks.joined(parts)
    return Picks(picks.reference, picks.target, picks.rank, vectors.cosines(picks.reference, picks.target))


def whole(vectors_BD: np.ndarray) -> np.ndarray:
    """Unit vectors as integers in float32."""
    scaled = vectors_BD.astype(np.float32)
    scaled *= SCALE
    return np.rint(scaled, out=scaled)


def exact_ranks(vectors: Vectors, references: np.ndarray, targets: np.ndarray, block_rows: int = 8192) -> np.ndarray:
    """Ranks of targets, by counting better scores of whole-number vectors over the corpus, block by block."""
    queries_PD = whole(vectors.take(references))
    scores_P = (queries_PD * whole(vectors.take(targets))).sum(1)
    better_P = np.zeros(len(references), np.int64)
    for start in range(0, len(vectors), block_rows):
        scores_PB = queries_PD @ whole(vectors.take(slice(start, start + block_rows))).T
        own = np.flatnonzero((references >= start) & (references < start + block_rows))
        scores_PB[own, references[own] - start] = -np.inf
        better_P += np.count_nonzero(scores_PB > scores_P[:, None], axis=1)
    return better_P


def measure(vectors: Vectors, window: RankWindow, picks: Picks, seed: int, sample: int = 256) -> Accuracy:
    """Compare a random sample of estimated ranks with the exact ones."""
    size = min(sample, len(picks.reference))
    sample_rows = np.sort(np.random.default_rng(seed).choice(len(picks.reference), size, replace=False))
    exact = exact_ranks(vectors, picks.reference[sample_rows], picks.target[sample_rows])
    inside = (exact >= window.first) & (exact < window.end)
    return Accuracy(size, float(inside.mean()), float(np.abs(exact - picks.rank[sample_rows]).mean()))


def _bounds(sorted_BM: np.ndarray, window: RankWindow) -> tuple[np.ndarray, np.ndarray]:
    """Scores (high, low) of each row's window: a score s lies in it if low <= s < high."""
    size = sorted_BM.shape[1]
    first, end = (math.ceil(rank / window.others * size) for rank in (window.first, window.end))
    infinite = np.full(len(sorted_BM), np.inf, np.float32)
    low = sorted_BM[:, size - end] if window.end < window.others else -infinite
    return (sorted_BM[:, size - first] if first else infinite), low


def _ranked(picks: Picks, sorted_BM: np.ndarray, window: RankWindow) -> Picks:
    """Replace block rows by corpus rows and put in the estimated ranks."""
    size = sorted_BM.shape[1]
    better = (sorted_BM[picks.rank] > picks.score[:, None].astype(np.float32)).sum(1)
    estimate = ((better + 0.5) / size * window.others).astype(np.int64)
    rank = np.clip(estimate, window.first, window.end - 1).astype(np.int32)
    return Picks(picks.reference, picks.target, rank, picks.score)


class _Draws:
    """Draws targets for a block of references at once, a few at a time."""

    def __init__(
        self, vectors: Vectors, keys: np.ndarray, allowed: Allowed, window: RankWindow, per_reference: int
    ) -> None:
        self.vectors, self.keys, self.allowed, self.per_reference = vectors, keys, allowed, per_reference
        self.at_once = min(8, math.ceil(per_reference / window.share * 0.75))
        self.limit = min(MAX_DRAWS, math.ceil(per_reference * 40 / window.share))
        self.by_category = np.argsort(allowed.category, kind="stable")
        self.sizes = np.bincount(allowed.category)
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])

    def pick(self, rows: np.ndarray, rows_BD: np.ndarray, high_B: np.ndarray, low_B: np.ndarray) -> Picks:
        """The picks of one block; ``rank`` holds the row within the block, ``score`` the whole-number score."""
        taken_BR = np.full((len(rows), self.per_reference), -1, np.int64)
        scores_BR = np.zeros((len(rows), self.per_reference), np.float32)
        picked_B = np.zeros(len(rows), np.int64)
        for step in range(0, self.limit, self.at_once):
            active = np.flatnonzero(picked_B < self.per_reference)
            if not len(active):
                break
            columns, scores = self._drawn(rows[active], rows_BD[active], step)
            inside = (scores >= low_B[active, None]) & (scores < high_B[active, None])
            for turn in range(self.at_once):
                self._take(
                    rows, active[inside[:, turn]], columns[inside[:, turn], turn], scores[inside[:, turn], turn],
                    taken_BR, scores_BR, picked_B,
                )  # fmt: skip
        block_row, position = np.nonzero(taken_BR >= 0)
        return Picks(
            rows[block_row].astype(np.int32),
            taken_BR[block_row, position].astype(np.int32),
            block_row,
            scores_BR[block_row, position],
        )

    def _drawn(self, rows_A: np.ndarray, rows_AD: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(A, at_once) columns drawn from each row's category, and their scores."""
        category = self.allowed.category[rows_A]
        drawn = draw(self.keys[rows_A][:, None], np.arange(step, step + self.at_once)[None, :])
        position = (drawn % self.sizes[category][:, None].astype(np.uint64)).astype(np.int64)
        columns = self.by_category[self.starts[category][:, None] + position]
        drawn_AKD = whole(self.vectors.take(columns.ravel())).reshape(*columns.shape, -1)
        return columns, np.matmul(drawn_AKD, rows_AD[:, :, None])[:, :, 0]

    def _take(
        self,
        rows: np.ndarray,
        block_rows: np.ndarray,
        columns: np.ndarray,
        scores: np.ndarray,
        taken_BR: np.ndarray,
        scores_BR: np.ndarray,
        picked_B: np.ndarray,
    ) -> None:
        """Take the allowed ones of one draw per row."""
        fresh = (picked_B[block_rows] < self.per_reference) & (columns != rows[block_rows])
        fresh &= ~(taken_BR[block_rows] == columns[:, None]).any(1)
        block_rows, columns, scores = block_rows[fresh], columns[fresh], scores[fresh]
        codes = self.allowed.check(rows[block_rows], columns, scores / SCALE**2)
        self.allowed.count(codes)
        good = codes == 0
        taken_BR[block_rows[good], picked_B[block_rows[good]]] = columns[good]
        scores_BR[block_rows[good], picked_B[block_rows[good]]] = scores[good]
        picked_B[block_rows[good]] += 1
