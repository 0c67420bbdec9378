"""Base class of gates: rules that give the reason for refusing a triplet."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

from pydantic import Field

from spn4cir_core.engine.plugins import Plugin, Settings
from spn4cir_core.texts.differences import Meaning, caption_meaning
from spn4cir_core.triplets.scores import NO_SCORES, Scores
from spn4cir_core.triplets.triplet import Triplet


class GateLimits(Settings):
    """The limits of the gates that come with the package."""

    most_caption_share: float = Field(default=0.01, gt=0, le=1)
    """For ``caption_is_common``: refuse a target whose caption more than this share of its split's images have."""
    most_caption_overlap: float = Field(default=0.8, gt=0, le=1)
    """For ``captions_nearly_equal``: refuse captions that share more than this share of the longer one's words."""
    most_edits: int = Field(default=2, ge=1)
    """For ``captions_need_many_edits``: refuse captions that are more changes apart: things added, removed, changed."""
    most_cosine: float = Field(default=0.98, ge=-1, le=1)
    """For ``pair_too_similar``: refuse pairs above it."""
    least_cosine: float = Field(default=0.1, ge=-1, le=1)
    """For ``pair_too_dissimilar``: refuse pairs below it."""
    answered_within: int = Field(default=1, ge=1)
    """A query is answered when the target is among so many first ones: for ``text_alone_answers`` and the figures."""
    most_text_rank_share: float = Field(default=0.5, gt=0, le=1)
    """For ``text_fits_many``: refuse a text that more than this share of its split's images fit as well."""
    most_round_trip_share: float = Field(default=0.5, gt=0, le=1)
    """For ``round_trip_fails``: refuse where more than this share of the images rank before the target."""
    least_judge_score: float = Field(default=0.5, ge=0, le=1)
    """For ``judge_says_no``: refuse below it."""


@dataclass(frozen=True)
class GateBasis:
    """Inputs of gates besides the triplet: limits, how many images of each split say the same, and models' scores."""

    settings: GateLimits
    captions: Sequence[tuple[str, str]]
    """Split and caption of every image."""
    scores: Mapping[str, Scores] = field(default_factory=dict)
    """Triplet id → scores; empty without a ranker and a judge."""

    @cached_property
    def holders(self) -> Mapping[str, Counter[Meaning]]:
        """Split → what a caption says → images whose caption says it."""
        holders: dict[str, Counter[Meaning]] = defaultdict(Counter)
        for split, caption in self.captions:
            holders[split][caption_meaning(caption)] += 1
        return dict(holders)

    @cached_property
    def _images(self) -> Counter[str]:
        return Counter(split for split, _ in self.captions)

    def caption_share(self, split: str, caption: str) -> float:
        """Share of the split's images whose caption says what this one does."""
        return self.holders.get(split, Counter())[caption_meaning(caption)] / max(1, self._images[split])

    def scores_of(self, triplet: Triplet) -> Scores:
        """The models' scores of the triplet; each is None without its model."""
        return self.scores.get(triplet.triplet_id, NO_SCORES)


class Gate(Plugin):
    """Refuses triplets by a rule that looks at one triplet at a time. Settings of its own are fields."""

    requires: ClassVar[Literal["", "ranker", "judge"]] = ""
    """The model whose scores it looks at; a recipe that names the gate needs that model's table."""

    reads_texts_alone: ClassVar[bool] = False
    """Whether captions, texts and limits alone decide. The store then keeps the answers until ``plugin_version`` goes
    up. A class derived from such a gate says it of itself again."""

    @classmethod
    def is_stored(cls) -> bool:
        """Whether the class itself says that it reads texts alone."""
        return bool(vars(cls).get("reads_texts_alone", False))

    @abstractmethod
    def refusal(self, triplet: Triplet, basis: GateBasis) -> str:
        """The reason for refusing the triplet, the same for all it refuses on one side; empty: it passes."""


def gate_basis(
    settings: GateLimits, captions: Iterable[tuple[str, str]], scores: Mapping[str, Scores] | None = None
) -> GateBasis:
    """What gates look at besides the triplet.

    Args:
        settings: the limits.
        captions: split and caption of every image.
        scores: by triplet id; only with a ranker or judge.
    """
    return GateBasis(settings, list(captions), scores or {})
