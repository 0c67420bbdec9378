"""What a gate is: a pure function from a triplet to the reason for refusing it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from spn4cir_core.texts.differences import Meaning, caption_meaning
from spn4cir_core.triplets.scores import NO_SCORES, Scores
from spn4cir_core.triplets.settings import TripletSettings
from spn4cir_core.triplets.triplet import Triplet


@dataclass(frozen=True)
class GateBasis:
    """What gates know besides the triplet: limits, how many images of each split say the same, and models' scores."""

    settings: TripletSettings
    holders: Mapping[str, Counter[Meaning]]
    """Split → what a caption says → images whose caption says it."""
    scores: Mapping[str, Scores] = field(default_factory=dict)
    """By triplet id; empty where no model was asked."""

    def caption_share(self, split: str, caption: str) -> float:
        """Share of the split's images whose caption says what this one does."""
        counts = self.holders.get(split, Counter())
        return counts[caption_meaning(caption)] / max(1, counts.total())

    def scores_of(self, triplet: Triplet) -> Scores:
        """What models say of the triplet; every score is None where none was asked."""
        return self.scores.get(triplet.triplet_id, NO_SCORES)


Gate = Callable[[Triplet, GateBasis], str]
"""Gives the reason for refusing a triplet, the same for all it refuses on one side, or an empty string."""


def gate_basis(
    settings: TripletSettings, captions: Iterable[tuple[str, str]], scores: Mapping[str, Scores] | None = None
) -> GateBasis:
    """Count what captions say.

    Args:
        settings: the limits.
        captions: split and caption of every image.
        scores: by triplet id, where models were asked.
    """
    holders: dict[str, Counter[Meaning]] = defaultdict(Counter)
    for split, caption in captions:
        holders[split][caption_meaning(caption)] += 1
    return GateBasis(settings, dict(holders), scores or {})
