"""The plug-in table of pair miners."""

from __future__ import annotations

from spn4cir_core.engine.plugins import Room

MINERS = Room(
    "pair miner",
    {
        "auto": "spn4cir_core.pairs.miners:Auto",
        "auto_positives": "spn4cir_core.pairs.miners:AutoPositives",
        "caption_overlap": "spn4cir_core.pairs.miners:CaptionOverlap",
        "exact": "spn4cir_core.pairs.miners:Exact",
        "landmarks": "spn4cir_core.pairs.miners:Landmarks",
        "neighbours": "spn4cir_core.pairs.miners:Neighbours",
        "one_phrase_apart": "spn4cir_core.pairs.miners:OnePhraseApart",
    },
)
