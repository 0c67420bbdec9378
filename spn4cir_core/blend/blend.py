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
    """Channels with their calibration and non-negative weights, (C,).

    A picture without a caption, and a query whose reference image has none, are scored with weights of their own: what
    is left of weights that lean on captions would be the picture alone. All weights are of one scale, since each is
    fitted to the log-odds of being the target.

    Attributes:
        weight_C: for a picture with a caption, where the reference image has one too.
        without_reference_C: for a picture with a caption, where the reference image has none; None: as ``weight_C``.
        without_caption_C: for a picture without a caption; None: as ``weight_C``.
    """

    channels: Sequence[Channel]
    calibration: Calibration
    weight_C: np.ndarray
    without_reference_C: np.ndarray | None = None
    without_caption_C: np.ndarray | None = None

    @property
    def used(self) -> tuple[int, ...]:
        """Positions of the channels that have a weight in any case."""
        every = [self.weight_C, self.without_reference_C, self.without_caption_C]
        return tuple(np.flatnonzero(sum(weight_C for weight_C in every if weight_C is not None)).tolist())

    def counts(self, number: int, reference_has_caption: bool) -> bool:
        """Whether a channel has a weight for some picture where the reference image has a caption, or has none."""
        with_caption_C = self.weight_C
        if not reference_has_caption and self.without_reference_C is not None:
            with_caption_C = self.without_reference_C
        without_caption_C = self.weight_C if self.without_caption_C is None else self.without_caption_C
        return bool(with_caption_C[number] or without_caption_C[number])

    def scores(self, gallery: Gallery, queries: ComposedQueries, rows_K: np.ndarray | None = None) -> np.ndarray:
        """Scores (Q, N) float32, or (Q, K) of some rows. Channels of weight 0 are not computed."""
        columns = len(gallery.captions) if rows_K is None else len(rows_K)
        total_QK = np.zeros((len(queries), columns), np.float32)
        for number in self.used:
            total_QK += self._part(number, gallery, queries, rows_K)
        return total_QK

    def contributions(self, gallery: Gallery, queries: ComposedQueries, rows_K: np.ndarray | None = None) -> np.ndarray:
        """What each channel adds to the score of each row, (Q, C, K): why a picture was found."""
        columns = len(gallery.captions) if rows_K is None else len(rows_K)
        part_QCK = np.zeros((len(queries), len(self.channels), columns), np.float32)
        for number in self.used:
            part_QCK[:, number] = self._part(number, gallery, queries, rows_K)
        return part_QCK

    def weight_of(
        self, number: int, gallery: Gallery, queries: ComposedQueries, rows_K: np.ndarray | None = None
    ) -> np.ndarray:
        """Weights (Q, K) float32 of one channel, by what captions there are."""
        captioned_K = gallery.captioned_N if rows_K is None else gallery.captioned_N[rows_K]
        captioned_Q = np.array([bool(caption) for caption in queries.reference_captions], bool)
        whole = float(self.weight_C[number])
        without_reference = whole if self.without_reference_C is None else float(self.without_reference_C[number])
        without_caption = whole if self.without_caption_C is None else float(self.without_caption_C[number])
        weight_Q1 = np.where(captioned_Q, whole, without_reference)[:, None]
        weight_QK: np.ndarray = np.where(captioned_K, weight_Q1, without_caption).astype(np.float32)
        return weight_QK

    def _part(self, number: int, gallery: Gallery, queries: ComposedQueries, rows_K: np.ndarray | None) -> np.ndarray:
        score_QK = self.channels[number].scores(gallery, queries, rows_K)
        weight_QK = self.weight_of(number, gallery, queries, rows_K)
        part_QK: np.ndarray = weight_QK * self.calibration.apply_to(number, score_QK)
        return part_QK

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
        row_QK = (
            np.stack([best_positions(score_N, k) for score_N in score_QN]) if len(score_QN) else np.zeros((0, k), int)
        )
        return row_QK, np.take_along_axis(score_QN, row_QK, 1)


def fit_blend(
    channels: Sequence[Channel],
    gallery: Gallery,
    queries: ComposedQueries,
    targets: Sequence[Sequence[int]],
    excluded: Sequence[int],
    seed: int = 0,
    without_references: ComposedQueries | None = None,
) -> tuple[Blend, WeightFit]:
    """Calibrate the channels and fit their weights on validation queries over their gallery.

    Takes Q × C × N × 4 bytes: sample the gallery of a large corpus.

    Args:
        without_references: the same queries with the captions of their reference images hidden.

    Returns:
        The blend, and the fit of the weights for pictures and reference images that have captions.

    Raises:
        ValueError: no queries.
    """
    score_QCN = np.stack([channel.scores(gallery, queries) for channel in channels], axis=1)
    calibration = Calibration.of(score_QCN)
    standard_QCN = calibration.apply(score_QCN)
    fit = fit_weights(standard_QCN, targets, excluded, seed)
    hidden_C = np.array([channel.reads_captions for channel in channels], bool)
    without_caption_C = _weights(np.where(hidden_C[:, None], 0, standard_QCN), targets, excluded, seed)
    without_reference_C = None
    if without_references is not None:
        hidden_QCN = np.stack([channel.scores(gallery, without_references) for channel in channels], axis=1)
        without_reference_C = _weights(calibration.apply(hidden_QCN), targets, excluded, seed)
    return Blend(channels, calibration, fit.weight_C, without_reference_C, without_caption_C), fit


def _weights(
    standard_QCN: np.ndarray, targets: Sequence[Sequence[int]], excluded: Sequence[int], seed: int
) -> np.ndarray:
    """Fitted weights (C,); zeros where no channel has a score."""
    if not standard_QCN.any():
        return np.zeros(standard_QCN.shape[1])
    return fit_weights(standard_QCN, targets, excluded, seed).weight_C


def best_positions(score_N: np.ndarray, k: int) -> np.ndarray:
    """(k,) positions of the highest scores, highest first, of equal ones the first; all where there are fewer."""
    k = min(k, len(score_N))
    if not k:
        return np.zeros(0, np.int64)
    least = np.partition(score_N, -k)[-k]
    rows = np.flatnonzero(score_N >= least)
    best: np.ndarray = rows[np.argsort(-score_N[rows], kind="stable")][:k]
    return best
