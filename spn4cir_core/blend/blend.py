"""The blend: the sum of calibrated channels that search serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spn4cir_core.blend.calibration import Calibration
from spn4cir_core.blend.fit import WeightFit, fit_weights
from spn4cir_core.channels.base import Channel, ComposedQueries, Gallery


@dataclass(frozen=True)
class Blend:
    """Channels with their calibration and non-negative weights, (C,)."""

    channels: Sequence[Channel]
    calibration: Calibration
    weight_C: np.ndarray

    def scores(self, gallery: Gallery, queries: ComposedQueries, rows_K: np.ndarray | None = None) -> np.ndarray:
        """Scores (Q, N) float32, or (Q, K) of some rows. Channels of weight 0 are not computed."""
        columns = len(gallery.captions) if rows_K is None else len(rows_K)
        total_QK = np.zeros((len(queries), columns), np.float32)
        for number in np.flatnonzero(self.weight_C).tolist():
            score_QK = self.channels[number].scores(gallery, queries, rows_K)
            total_QK += np.float32(self.weight_C[number]) * self.calibration.apply_to(number, score_QK)
        return total_QK

    def contributions(self, gallery: Gallery, queries: ComposedQueries, rows_K: np.ndarray | None = None) -> np.ndarray:
        """What each channel adds to the score of each row, (Q, C, K), or (Q, C, N): why a picture was found."""
        columns = len(gallery.captions) if rows_K is None else len(rows_K)
        part_QCK = np.zeros((len(queries), len(self.channels), columns), np.float32)
        for number in np.flatnonzero(self.weight_C).tolist():
            score_QK = self.channels[number].scores(gallery, queries, rows_K)
            part_QCK[:, number] = self.weight_C[number] * self.calibration.apply_to(number, score_QK)
        return part_QCK

    def best(
        self, gallery: Gallery, queries: ComposedQueries, k: int, excluded: Sequence[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows (Q, k) of the best pictures, best first and of equal ones the first row first, and their scores.

        Args:
            excluded: row of each query's reference image, or -1.
        """
        score_QN = self.scores(gallery, queries)
        for number, row in enumerate(excluded or ()):
            if row >= 0:
                score_QN[number, row] = -np.inf
        k = min(k, score_QN.shape[1])
        row_QK = np.stack([_best_rows(score_N, k) for score_N in score_QN]) if len(score_QN) else np.zeros((0, k), int)
        return row_QK, np.take_along_axis(score_QN, row_QK, 1)


def fit_blend(
    channels: Sequence[Channel],
    gallery: Gallery,
    queries: ComposedQueries,
    targets: Sequence[Sequence[int]],
    excluded: Sequence[int],
    seed: int = 0,
) -> tuple[Blend, WeightFit]:
    """Calibrate the channels and fit their weights on validation queries over their gallery.

    Takes Q × C × N × 4 bytes: sample the gallery of a large corpus.

    Raises:
        ValueError: no queries.
    """
    score_QCN = np.stack([channel.scores(gallery, queries) for channel in channels], axis=1)
    calibration = Calibration.of(score_QCN)
    fit = fit_weights(calibration.apply(score_QCN), targets, excluded, seed)
    return Blend(channels, calibration, fit.weight_C), fit


def _best_rows(score_N: np.ndarray, k: int) -> np.ndarray:
    if not k:
        return np.zeros(0, np.int64)
    least = np.partition(score_N, -k)[-k]
    rows = np.flatnonzero(score_N >= least)
    best: np.ndarray = rows[np.argsort(-score_N[rows], kind="stable")][:k]
    return best
