"""What pictures without a caption are worth beside those that have one, measured with captions hidden."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from spn4cir_core.blend.blend import LEAST_SHARE_CAPTIONED, Blend, Validation
from spn4cir_core.blend.fit import FEW_QUERIES, hits_at_1
from spn4cir_core.channels.missing_caption import MissingCaption

NEVER = 2.0
"""A share that no gallery has."""
CHANCE = 1.96
"""Standard errors that a mean gain may reach by chance, at 95 %."""
NEAREST = 10
"""Pictures of a search by a picture alone of which those without a caption have their share."""


class HiddenCaptions(NamedTuple):
    """The validation queries again, with captions hidden.

    Attributes:
        of_pictures: galleries a half of which has lost its captions, references included.
        without_text: the same galleries, asked for pictures like the references alone.
        of_references: the whole gallery, whose reference images alone have lost their captions.
    """

    of_pictures: Sequence[Validation] = ()
    without_text: Sequence[Validation] = ()
    of_references: Sequence[Validation] = ()


NOTHING_HIDDEN = HiddenCaptions()


def with_hidden_captions(
    blend: Blend, hidden: HiddenCaptions, targets: Sequence[Sequence[int]], excluded: Sequence[int]
) -> Blend:
    """The blend with what only galleries with hidden captions tell."""
    by_share = ((LEAST_SHARE_CAPTIONED, hidden.of_pictures), (1.0, hidden.of_references))
    if all(validations for _, validations in by_share):
        blend = replace(blend, least_share=least_share(blend, by_share, targets, excluded))
    for number, channel in enumerate(blend.channels):
        if isinstance(channel, MissingCaption) and blend.without_caption_C is not None:
            weight = even_weight(blend, hidden.without_text, excluded, number)
            if weight is not None:
                is_missing_C = np.arange(len(blend.channels)) == number
                blend = replace(blend, without_text_C=np.where(is_missing_C, weight, blend.without_caption_C))
    return blend


def even_weight(
    blend: Blend, without_text: Iterable[Validation], excluded: Sequence[int], missing: int
) -> float | None:
    """Weight of the channel ``missing_caption`` for a search by a picture alone, whose reference has a caption.

    Nothing says which picture is right, but whose caption is hidden is chance: by this weight pictures without one are
    among the nearest as often as they are in the gallery, over all queries. The j-th best picture without a caption is
    among the K nearest where it is above the (K + 1 − j)-th best one that has a caption, so that the weight is a
    quantile of these distances.

    Args:
        without_text: the queries' references alone, over galleries some of whose captions are hidden.
        missing: position of the channel.

    Returns:
        At least 0; None where no reference image has a caption, or all pictures have one or none.
    """
    distances: list[np.ndarray] = []
    shares: list[float] = []
    for gallery, queries in without_text:
        captioned_N = gallery.captioned_N
        count = min(NEAREST, int(captioned_N.sum()) - 1, int((~captioned_N).sum()))
        rows = [row for row, caption in enumerate(queries.reference_captions) if caption] if count > 0 else []
        if not rows:
            continue
        part_QCN = blend.contributions(gallery, queries)
        part_QCN[:, missing] = 0
        score_QN = part_QCN.sum(1)[rows]
        for score_N, row in zip(score_QN, rows, strict=True):
            if excluded[row] >= 0:
                score_N[excluded[row]] = -np.inf
        best_QK, without_QK = (_best(score_QN[:, which_N], count) for which_N in (captioned_N, ~captioned_N))
        distances.append((best_QK[:, ::-1] - without_QK).ravel())
        shares.append(1 - gallery.captioned_share)
    if not distances:
        return None
    return max(0.0, float(np.quantile(np.concatenate(distances), np.mean(shares))))


def least_share(
    blend: Blend,
    by_share: Iterable[tuple[float, Sequence[Validation]]],
    targets: Sequence[Sequence[int]],
    excluded: Sequence[int],
) -> float:
    """Share of captioned pictures from which on captions count for a reference image that has none.

    The first share at which they answer more of such validation queries than pictures alone do, beyond chance (paired,
    95 %); :data:`NEVER` where they do so at none. Fewer than 20 queries decide nothing.

    Args:
        by_share: ascending shares, each with the queries over galleries of which so many pictures have a caption.
    """
    with_captions, without = replace(blend, least_share=0.0), replace(blend, least_share=NEVER)
    for share, validations in by_share:
        gain_VQ = np.full((len(validations), len(targets)), np.nan)
        for gain_Q, validation in zip(gain_VQ, validations, strict=True):
            rows = np.flatnonzero(~validation.captioned_Q)
            with_Q, without_Q = (_hits(one, validation, targets, excluded) for one in (with_captions, without))
            gain_Q[rows] = (with_Q - without_Q)[rows]
        has_gain_Q = np.isfinite(gain_VQ).any(0)
        if has_gain_Q.sum() < FEW_QUERIES:
            return LEAST_SHARE_CAPTIONED
        gain_Q = np.nanmean(gain_VQ[:, has_gain_Q], axis=0)
        if gain_Q.mean() > CHANCE * gain_Q.std() / len(gain_Q) ** 0.5:
            return share
    return NEVER


def _hits(
    blend: Blend, validation: Validation, targets: Sequence[Sequence[int]], excluded: Sequence[int]
) -> np.ndarray:
    """(Q,) 1 where the best picture is a target, 0 … 1 where several are the best."""
    score_QN = blend.scores(*validation)
    for score_N, row in zip(score_QN, excluded, strict=True):
        if row >= 0:
            score_N[row] = -np.inf
    return hits_at_1(score_QN, targets)


def _best(score_QN: np.ndarray, count: int) -> np.ndarray:
    """(Q, K) highest scores, highest first."""
    best_QK: np.ndarray = -np.sort(-score_QN, axis=1)[:, :count]
    return best_QK
