"""All gates by name. A new one is a function in a file of its family and a line here and in the settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from spn4cir_core.triplets.caption_gates import (
    caption_is_an_excuse,
    caption_is_common,
    caption_repeats_itself,
    caption_says_nothing,
    captions_nearly_equal,
    captions_need_many_edits,
    captions_say_the_same,
)
from spn4cir_core.triplets.gate import Gate, GateBasis
from spn4cir_core.triplets.score_gates import judge_says_no, round_trip_fails, text_alone_answers, text_fits_many
from spn4cir_core.triplets.settings import GateName
from spn4cir_core.triplets.similarity_gates import pair_too_dissimilar, pair_too_similar
from spn4cir_core.triplets.text_gates import text_names_target
from spn4cir_core.triplets.triplet import Triplet

GATES: Mapping[GateName, Gate] = {
    "caption_says_nothing": caption_says_nothing,
    "caption_is_an_excuse": caption_is_an_excuse,
    "caption_repeats_itself": caption_repeats_itself,
    "caption_is_common": caption_is_common,
    "captions_say_the_same": captions_say_the_same,
    "captions_nearly_equal": captions_nearly_equal,
    "captions_need_many_edits": captions_need_many_edits,
    "text_names_target": text_names_target,
    "pair_too_similar": pair_too_similar,
    "pair_too_dissimilar": pair_too_dissimilar,
    "text_fits_many": text_fits_many,
    "text_alone_answers": text_alone_answers,
    "round_trip_fails": round_trip_fails,
    "judge_says_no": judge_says_no,
}


def refusals(triplet: Triplet, names: Iterable[GateName], basis: GateBasis) -> list[str]:
    """The reasons of all gates that refuse the triplet, in the order of the names."""
    return [reason for name in names if (reason := GATES[name](triplet, basis))]


def refusal(triplet: Triplet, names: Iterable[GateName], basis: GateBasis) -> str:
    """The reason of the first gate that refuses the triplet, or an empty string."""
    return next(filter(None, (GATES[name](triplet, basis) for name in names)), "")
