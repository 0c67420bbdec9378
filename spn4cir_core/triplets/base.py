"""Plug-in tables of triplets: gates, rankers and judges."""

from __future__ import annotations

from spn4cir_core.engine.plugins import Room

GATES = Room(
    "gate",
    {
        "caption_says_nothing": "spn4cir_core.triplets.caption_gates:CaptionSaysNothing",
        "caption_is_an_excuse": "spn4cir_core.triplets.caption_gates:CaptionIsAnExcuse",
        "caption_repeats_itself": "spn4cir_core.triplets.caption_gates:CaptionRepeatsItself",
        "caption_is_common": "spn4cir_core.triplets.caption_gates:CaptionIsCommon",
        "captions_say_the_same": "spn4cir_core.triplets.caption_gates:CaptionsSayTheSame",
        "captions_nearly_equal": "spn4cir_core.triplets.caption_gates:CaptionsNearlyEqual",
        "captions_need_many_edits": "spn4cir_core.triplets.caption_gates:CaptionsNeedManyEdits",
        "text_misses_change": "spn4cir_core.triplets.caption_gates:TextMissesChange",
        "text_names_target": "spn4cir_core.triplets.caption_gates:TextNamesTarget",
        "pair_too_similar": "spn4cir_core.triplets.score_gates:PairTooSimilar",
        "pair_too_dissimilar": "spn4cir_core.triplets.score_gates:PairTooDissimilar",
        "text_fits_many": "spn4cir_core.triplets.score_gates:TextFitsMany",
        "text_alone_answers": "spn4cir_core.triplets.score_gates:TextAloneAnswers",
        "round_trip_fails": "spn4cir_core.triplets.score_gates:RoundTripFails",
        "judge_says_no": "spn4cir_core.triplets.score_gates:JudgeSaysNo",
    },
)


JUDGES = Room(
    "judge",
    {
        "number": "spn4cir_core.triplets.number_judge:NumberJudge",
        "yes": "spn4cir_core.triplets.yes_judge:YesJudge",
    },
)


RANKERS = Room(
    "ranker",
    {
        "open_clip": "spn4cir_core.triplets.open_clip_ranker:OpenClipRanker",
        "sentences": "spn4cir_core.triplets.sentence_ranker:SentenceRanker",
    },
)
