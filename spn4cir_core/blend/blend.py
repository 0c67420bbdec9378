"""The blend: the sum of calibrated channels that search serves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from spn4cir_core.blend.calibration import Calibration
from spn4cir_core.blend.fit import Sample, WeightFit, fit_samples, fit_weights
from spn4cir_core.blend.ties import LEAST_SHARE_EQUAL, share_equal, with_tie_break
from spn4cir_core.channels.base import Channel, ComposedQueries, Gallery
from spn4cir_core.channels.missing_caption import MissingCaption
from spn4cir_core.channels.picture import Picture

LEAST_SHARE_CAPTIONED = 0.5
"""Share of a gallery's pictures that need a caption before captions count for a reference image without one."""


@dataclass(frozen=True)
class Blend:
    """Channels with their calibration and non-negative weights, (C,), by what has a caption.

    What is left of weights that lean on captions would be too little where there are none. All weights are of one
    scale: each is fitted to the log-odds of being the target, and those of one kind of reference image together.

    Attributes:
        weight_C: where the picture and the reference image have a caption.
        without_reference_C: where only the picture has one; None: as ``weight_C``.
        without_caption_C: where only the reference image has one; None: as ``weight_C``.
        without_either_C: where neither has one; None: as ``without_caption_C``.
    """

    channels: Sequence[Channel]
    calibration: Calibration
    weight_C: np.ndarray
    without_reference_C: np.ndarray | None = None
    without_caption_C: np.ndarray | None = None
    without_either_C: np.ndarray | None = None

    @property
    def used(self) -> tuple[int, ...]:
        """Positions of the channels that have a weight in any case."""
        return tuple(np.flatnonzero(self._weight_RPC.sum((0, 1))).tolist())

    @cached_property
    def _weight_RPC(self) -> np.ndarray:
        """(2, 2, C) weights: 1 where the reference image has a caption, 1 where the picture has one."""
        without_reference_C = self.weight_C if self.without_reference_C is None else self.without_reference_C
        without_caption_C = self.weight_C if self.without_caption_C is None else self.without_caption_C
        without_either_C = without_caption_C if self.without_either_C is None else self.without_either_C
        return np.array([[without_either_C, without_reference_C], [without_caption_C, self.weight_C]], np.float32)

    def counts(self, number: int, reference_has_caption: bool) -> bool:
        """Whether a channel has a weight for some picture where the reference image has a caption, or has none."""
        return bool(self._weight_RPC[int(reference_has_caption), :, number].any())

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
        """Weights (Q, K) float32 of one channel, by what captions there are.

        Where most pictures have no caption and the reference image is one of them, captions do not count: pictures like
        it have none either, and the few that have one would outrank them.
        """
        captioned_K = gallery.captioned_N if rows_K is None else gallery.captioned_N[rows_K]
        captioned_Q = np.array([bool(caption) for caption in queries.reference_captions], bool)
        weight_RP = self._weight_RPC[:, :, number]
        if gallery.captioned_share < LEAST_SHARE_CAPTIONED:
            alone = 0 if isinstance(self.channels[number], MissingCaption) else weight_RP[0, 0]
            weight_RP = np.array([[alone, alone], weight_RP[1]], np.float32)
        weight_QP = weight_RP[captioned_Q.astype(int)]
        weight_QK: np.ndarray = weight_QP[:, captioned_K.astype(int)]
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


class Validation(NamedTuple):
    """Validation queries, and the gallery whose pictures answer them."""

    gallery: Gallery
    queries: ComposedQueries

    def scores(self, channels: Sequence[Channel]) -> np.ndarray:
        """(Q, C, N) scores as the channels give them."""
        return np.stack([channel.scores(self.gallery, self.queries) for channel in channels], axis=1)

    @property
    def captioned_Q(self) -> np.ndarray:
        """Which reference images have a caption."""
        return np.array([bool(caption) for caption in self.queries.reference_captions], bool)


def fit_blend(
    channels: Sequence[Channel],
    validation: Validation,
    targets: Sequence[Sequence[int]],
    excluded: Sequence[int],
    seed: int = 0,
    with_fewer_captions: Iterable[Validation] = (),
) -> tuple[Blend, WeightFit]:
    """Calibrate the channels and fit their weights on validation queries over their gallery.

    Takes Q × C × N × 4 bytes: sample the gallery of a large corpus.

    Args:
        with_fewer_captions: the same queries and pictures, some of which have lost their captions.

    Returns:
        The blend, and the fit of the weights for reference images that have captions.

    Raises:
        ValueError: no queries.
    """
    as_it_is_C = np.array([isinstance(channel, MissingCaption) for channel in channels], bool)
    score_QCN = validation.scores(channels)
    calibration = Calibration.of(score_QCN, as_it_is_C)
    standard_QCN = calibration.apply(score_QCN)
    samples: dict[bool, list[Sample]] = {True: [], False: []}
    for fewer in with_fewer_captions:
        fewer_QCN = calibration.apply(fewer.scores(channels))
        for captioned in samples:
            rows_Q = np.flatnonzero(fewer.captioned_Q == captioned)
            if len(rows_Q):
                samples[captioned].append(Sample.of(fewer_QCN, targets, excluded, fewer.gallery.captioned_N, rows_Q))
    captioned_N = validation.gallery.captioned_N
    no_captions_C = np.array([not channel.reads_captions for channel in channels], bool) & ~as_it_is_C
    looks_C = np.array([isinstance(channel, Picture) for channel in channels], bool)  # of a query without a text, too
    has_ties = share_equal(validation.gallery.captions) >= LEAST_SHARE_EQUAL
    fit = fit_weights(
        *(standard_QCN, targets, excluded, seed),
        captioned_N=captioned_N,
        further=samples[True],
        tie_breaks_C=no_captions_C if has_ties else looks_C,
    )
    without_reference_C, without_either_C = fit.weight_C, fit.without_caption_C
    if samples[False]:
        without_reference_C, without_either_C = fit_samples(samples[False])
        if fit.tie_break is not None and not without_reference_C[no_captions_C].any():
            without_reference_C = with_tie_break(without_reference_C, fit.tie_break)
    without = [fit.without_caption_C, without_either_C]
    if not all(weight_C[no_captions_C].any() for weight_C in without):
        hidden_QCN = np.where(no_captions_C[:, None], standard_QCN, 0)
        alone_C, _ = fit_samples([Sample.of(hidden_QCN, targets, excluded, np.ones_like(captioned_N))])
        without = [weight_C if weight_C[no_captions_C].any() else weight_C + alone_C for weight_C in without]
    return Blend(channels, calibration, fit.weight_C, without_reference_C, *without), fit


def best_positions(score_N: np.ndarray, k: int) -> np.ndarray:
    """(k,) positions of the highest scores, highest first, of equal ones the first; all where there are fewer."""
    k = min(k, len(score_N))
    if not k:
        return np.zeros(0, np.int64)
    least = np.partition(score_N, -k)[-k]
    rows = np.flatnonzero(score_N >= least)
    best: np.ndarray = rows[np.argsort(-score_N[rows], kind="stable")][:k]
    return best
