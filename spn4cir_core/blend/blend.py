"""The blend: the sum of calibrated channels that search serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from spn4cir_core.blend.calibration import Calibration
from spn4cir_core.channels.base import Channel, ComposedQueries, Gallery
from spn4cir_core.channels.missing_caption import MissingCaption

LEAST_SHARE_CAPTIONED = 0.5
"""Share of a gallery's pictures that need a caption before captions count for a query whose reference has none."""


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
        without_text_C: as ``without_caption_C``, of a query without a text; None: as with one.
        least_share: share of the gallery's pictures that need a caption before captions count for a reference image
            that has none.
    """

    channels: Sequence[Channel]
    calibration: Calibration
    weight_C: np.ndarray
    without_reference_C: np.ndarray | None = None
    without_caption_C: np.ndarray | None = None
    without_either_C: np.ndarray | None = None
    without_text_C: np.ndarray | None = None
    least_share: float = LEAST_SHARE_CAPTIONED

    @cached_property
    def used(self) -> tuple[int, ...]:
        """Positions of the channels that have a weight in any case."""
        without_text_C = 0 if self.without_text_C is None else self.without_text_C
        return tuple(np.flatnonzero(self._weight_RPC.sum((0, 1)) + without_text_C).tolist())

    @cached_property
    def _weight_RPC(self) -> np.ndarray:
        """(2, 2, C) weights: 1 where the reference image has a caption, 1 where the picture has one."""
        without_reference_C = self.weight_C if self.without_reference_C is None else self.without_reference_C
        without_caption_C = self.weight_C if self.without_caption_C is None else self.without_caption_C
        without_either_C = without_caption_C if self.without_either_C is None else self.without_either_C
        return np.array([[without_either_C, without_reference_C], [without_caption_C, self.weight_C]], np.float32)

    def counts(self, number: int, gallery: Gallery, reference_has_caption: bool) -> bool:
        """Whether a channel has a weight for some picture of the gallery, by whether the reference has a caption."""
        weight_P = self._weight_RPC[int(reference_has_caption), :, number].copy()
        if not reference_has_caption:  # captions may not count at all: see weight_of
            weight_P[1] += weight_P[0]
        elif self.without_text_C is not None:
            weight_P[0] += self.without_text_C[number]
        captioned_N = gallery.captioned_N
        return bool(weight_P[0] and not captioned_N.all()) or bool(weight_P[1] and captioned_N.any())

    def scores(self, gallery: Gallery, queries: ComposedQueries, rows_K: np.ndarray | None = None) -> np.ndarray:
        """Scores (Q, N) float32, or (Q, K) of some rows. Channels of weight 0 are not computed."""
        columns = len(gallery.captions) if rows_K is None else len(rows_K)
        total_QK = np.zeros((len(queries), columns), np.float32)
        for number in self.used:
            total_QK += self.part(number, gallery, queries, rows_K)
        return total_QK

    def contributions(self, gallery: Gallery, queries: ComposedQueries, rows_K: np.ndarray | None = None) -> np.ndarray:
        """What each channel adds to the score of each row, (Q, C, K): why a picture was found."""
        columns = len(gallery.captions) if rows_K is None else len(rows_K)
        part_QCK = np.zeros((len(queries), len(self.channels), columns), np.float32)
        for number in self.used:
            part_QCK[:, number] = self.part(number, gallery, queries, rows_K)
        return part_QCK

    def weight_of(
        self, number: int, gallery: Gallery, queries: ComposedQueries, rows_K: np.ndarray | None = None
    ) -> np.ndarray:
        """Weights (Q, K) float32 of one channel, by what captions there are.

        Captions do not count for a reference image without one where too few pictures have one (pictures like it have
        none either, and those that have one would outrank them), or where no text can be compared with them.
        """
        captioned_K = gallery.captioned_N if rows_K is None else gallery.captioned_N[rows_K]
        captioned_Q, has_text_Q = (np.array([bool(t) for t in texts], bool) for texts in _texts(queries))
        weight_QP = self._weight_RPC[captioned_Q.astype(int), :, number]
        if self.without_text_C is not None:
            weight_QP[captioned_Q & ~has_text_Q, 0] = self.without_text_C[number]
        least_Q = np.where(queries.has_reference_Q, self.least_share, LEAST_SHARE_CAPTIONED)
        alone = 0 if isinstance(self.channels[number], MissingCaption) else self._weight_RPC[0, 0, number]
        weight_QP[~captioned_Q & ((gallery.captioned_share < least_Q) | ~has_text_Q)] = alone
        weight_QK: np.ndarray = np.where(captioned_K, weight_QP[:, 1:], weight_QP[:, :1])
        return weight_QK

    def part(
        self, number: int, gallery: Gallery, queries: ComposedQueries, rows_K: np.ndarray | None = None
    ) -> np.ndarray:
        """What one channel adds to the scores, (Q, N) float32 or (Q, K); one without a weight is not computed."""
        weight_QK = self.weight_of(number, gallery, queries, rows_K)
        if not weight_QK.any():
            return np.zeros(weight_QK.shape, np.float32)
        score_QK = self.channels[number].scores(gallery, queries, rows_K)
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


def best_positions(score_N: np.ndarray, k: int) -> np.ndarray:
    """(k,) positions of the highest scores, highest first, of equal ones the first; all where there are fewer."""
    k = min(k, len(score_N))
    if not k:
        return np.zeros(0, np.int64)
    least = np.partition(score_N, -k)[-k]
    rows = np.flatnonzero(score_N >= least)
    best: np.ndarray = rows[np.argsort(-score_N[rows], kind="stable")][:k]
    return best


def _texts(queries: ComposedQueries) -> tuple[Sequence[str | None], Sequence[str]]:
    return queries.reference_captions, queries.modified_texts
