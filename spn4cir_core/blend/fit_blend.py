"""Fits the blend: calibration and weights from validation queries, with captions and with captions hidden."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spn4cir_core.blend.blend import Blend, Validation
from spn4cir_core.blend.calibration import Calibration
from spn4cir_core.blend.fit import SMALLEST, WeightFit, fit_samples, fit_weights
from spn4cir_core.blend.missing_captions import NOTHING_HIDDEN, HiddenCaptions, with_hidden_captions
from spn4cir_core.blend.sample import Sample
from spn4cir_core.blend.ties import LEAST_SHARE_EQUAL, share_equal, with_tie_break
from spn4cir_core.channels.base import Channel
from spn4cir_core.channels.missing_caption import MissingCaption
from spn4cir_core.channels.picture import Picture


def fit_blend(
    channels: Sequence[Channel],
    validation: Validation,
    targets: Sequence[Sequence[int]],
    excluded: Sequence[int],
    seed: int = 0,
    hidden: HiddenCaptions = NOTHING_HIDDEN,
) -> tuple[Blend, WeightFit]:
    """Calibrate the channels and fit their weights on validation queries over their gallery.

    Takes Q × C × N × 4 bytes: sample the gallery of a large corpus.

    Args:
        hidden: the same queries and pictures, some of which have lost their captions.

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
    for fewer in hidden.of_pictures:
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
        if no_captions_C.any() and not alone_C.any():  # none says more than chance, but equal scores say nothing at all
            best = int(np.argmax(np.where(no_captions_C, fit.recall_alone_C, -1)))
            alone_C[best] = SMALLEST
        without = [weight_C if weight_C[no_captions_C].any() else weight_C + alone_C for weight_C in without]
    blend = Blend(channels, calibration, fit.weight_C, without_reference_C, without[0], without[1])
    return with_hidden_captions(blend, hidden, targets, excluded), fit
