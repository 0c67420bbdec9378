"""Plug-in tables of triplets: rankers and judges."""

from __future__ import annotations

from spn4cir_core.engine.plugins import Room

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
