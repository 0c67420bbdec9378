"""Gates on how similar a generated triplet's two images are."""

from __future__ import annotations

from spn4cir_core.triplets.gate import GateBasis
from spn4cir_core.triplets.triplet import Triplet


def pair_too_similar(triplet: Triplet, basis: GateBasis) -> str:
    """Refuse a pair above the highest cosine: near-duplicates, between which a text describes no change."""
    above = triplet.score is not None and triplet.score > basis.settings.most_cosine
    return f"the images' cosine is above {basis.settings.most_cosine:g}" if above else ""


def pair_too_dissimilar(triplet: Triplet, basis: GateBasis) -> str:
    """Refuse a pair below the lowest cosine: two things that no one would ask to turn into each other."""
    below = triplet.score is not None and triplet.score < basis.settings.least_cosine
    return f"the images' cosine is below {basis.settings.least_cosine:g}" if below else ""
