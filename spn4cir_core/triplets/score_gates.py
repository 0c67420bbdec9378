"""Gates on what frozen models say of a triplet. One that no model was asked about passes."""

from __future__ import annotations

from spn4cir_core.triplets.gate import GateBasis
from spn4cir_core.triplets.triplet import Triplet


def text_fits_many(triplet: Triplet, basis: GateBasis) -> str:
    """Refuse a triplet whose text fits too many other images as well as the target: it does not single it out."""
    share, most = basis.scores_of(triplet).text_rank_share, basis.settings.most_text_rank_share
    many = share is not None and share > most
    return f"the text fits more than {100 * most:g} % of the images as well as the target" if many else ""


def text_alone_answers(triplet: Triplet, basis: GateBasis) -> str:
    """Refuse a triplet whose text alone finds the target: training on it needs no reference image."""
    rank, within = basis.scores_of(triplet).text_rank, basis.settings.answered_within
    alone = rank is not None and rank < within
    return f"the text alone finds the target among the first {within}" if alone else ""


def round_trip_fails(triplet: Triplet, basis: GateBasis) -> str:
    """Refuse a triplet whose reference and text together do not lead to the target: chance is a share of 0.5."""
    share, most = basis.scores_of(triplet).round_trip_share, basis.settings.most_round_trip_share
    fails = share is not None and share > most
    return f"reference and text find more than {100 * most:g} % of the images before the target" if fails else ""


def judge_says_no(triplet: Triplet, basis: GateBasis) -> str:
    """Refuse a triplet of which the judge doubts that the text leads from the reference to the target."""
    score, least = basis.scores_of(triplet).judge_score, basis.settings.least_judge_score
    return f"the judge's score is below {least:g}" if score is not None and score < least else ""
