"""Gates on scores: the pair's cosine, and the scores of frozen models. A triplet without the score passes."""

from __future__ import annotations

from typing_extensions import override

from spn4cir_core.triplets.gate import Gate, GateBasis
from spn4cir_core.triplets.triplet import Triplet


class PairTooSimilar(Gate):
    """Refuse a pair above the highest cosine: near-duplicates, between which a text describes no change."""

    @override
    def refusal(self, triplet: Triplet, basis: GateBasis) -> str:
        above = triplet.score is not None and triplet.score > basis.settings.most_cosine
        return f"the images' cosine is above {basis.settings.most_cosine:g}" if above else ""


class PairTooDissimilar(Gate):
    """Refuse a pair below the lowest cosine: two things that no one would ask to turn into each other."""

    @override
    def refusal(self, triplet: Triplet, basis: GateBasis) -> str:
        below = triplet.score is not None and triplet.score < basis.settings.least_cosine
        return f"the images' cosine is below {basis.settings.least_cosine:g}" if below else ""


class TextFitsMany(Gate):
    """Refuse a triplet whose text fits too many other images as well as the target: it does not single it out."""

    requires = "ranker"

    @override
    def refusal(self, triplet: Triplet, basis: GateBasis) -> str:
        share, most = basis.scores_of(triplet).text_rank_share, basis.settings.most_text_rank_share
        many = share is not None and share > most
        return f"the text fits more than {100 * most:g} % of the images as well as the target" if many else ""


class TextAloneAnswers(Gate):
    """Refuse a triplet whose text alone finds the target: training on it needs no reference image."""

    requires = "ranker"

    @override
    def refusal(self, triplet: Triplet, basis: GateBasis) -> str:
        rank, within = basis.scores_of(triplet).text_rank, basis.settings.answered_within
        alone = rank is not None and rank < within
        return f"the text alone finds the target among the first {within}" if alone else ""


class RoundTripFails(Gate):
    """Refuse a triplet whose reference and text together do not lead to the target: chance is a share of 0.5."""

    requires = "ranker"

    @override
    def refusal(self, triplet: Triplet, basis: GateBasis) -> str:
        share, most = basis.scores_of(triplet).round_trip_share, basis.settings.most_round_trip_share
        fails = share is not None and share > most
        return f"reference and text find more than {100 * most:g} % of the images before the target" if fails else ""


class JudgeSaysNo(Gate):
    """Refuse a triplet of which the judge doubts that the text leads from the reference to the target."""

    requires = "judge"

    @override
    def refusal(self, triplet: Triplet, basis: GateBasis) -> str:
        score, least = basis.scores_of(triplet).judge_score, basis.settings.least_judge_score
        return f"the judge's score is below {least:g}" if score is not None and score < least else ""
