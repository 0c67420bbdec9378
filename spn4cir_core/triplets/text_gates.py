"""Gates on a generated triplet's texts."""

from __future__ import annotations

from spn4cir_core.triplets.figures import names_target_in_full
from spn4cir_core.triplets.gate import GateBasis
from spn4cir_core.triplets.triplet import Triplet


def text_names_target(triplet: Triplet, basis: GateBasis) -> str:
    """Refuse a triplet one of whose texts says all that the target's caption says: the text alone answers the query."""
    named = names_target_in_full(triplet.modified_texts, triplet.target_caption)
    return "the text alone describes the target" if named else ""
