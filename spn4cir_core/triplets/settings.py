"""Settings of the ``triplets`` stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spn4cir_core.fingerprints import NotFingerprinted
from spn4cir_core.plugins import Settings

GateName = Literal[
    "caption_says_nothing",
    "caption_is_an_excuse",
    "caption_repeats_itself",
    "caption_is_common",
    "captions_say_the_same",
    "captions_nearly_equal",
    "text_names_target",
    "pair_too_similar",
    "pair_too_dissimilar",
]


class TripletSettings(Settings):
    """How annotated and generated triplets are put together."""

    origins: tuple[Literal["annotated", "generated"], ...] = Field(default=("annotated", "generated"), min_length=1)
    max_generated: int | None = Field(default=None, ge=0)
    """At most this many generated training triplets, drawn by the recipe's seed."""
    annotated_repeats: int = Field(default=1, ge=1)
    """Times an annotated triplet appears in an epoch; more helps where they are few."""
    generated_weight: float = Field(default=1.0, gt=0)
    """Weight of a generated triplet's loss; an annotated one's is 1."""
    gates: tuple[GateName, ...] = (
        "caption_says_nothing",
        "caption_is_an_excuse",
        "caption_repeats_itself",
        "captions_say_the_same",
    )
    """What a generated triplet must pass, in this order; refusals are counted, listed and pictured."""
    most_caption_share: float = Field(default=0.01, gt=0, le=1)
    """For ``caption_is_common``: refuse a target whose caption more than this share of its split's images have."""
    most_caption_overlap: float = Field(default=0.8, gt=0, le=1)
    """For ``captions_nearly_equal``: refuse captions that share more than this share of the longer one's words."""
    most_cosine: float = Field(default=0.98, ge=-1, le=1)
    """For ``pair_too_similar``: refuse pairs above it."""
    least_cosine: float = Field(default=0.1, ge=-1, le=1)
    """For ``pair_too_dissimilar``: refuse pairs below it."""
    verdicts: Annotated[str | None, NotFingerprinted()] = None
    """A CSV file ``triplet_id,verdict,comment`` of what people decided: ``reject``, or ``keep`` despite the gates."""
    candidates: Literal["triplets", "split"] = "split"
    """The candidate set: images of the training triplets (as published), or all images of the training split."""
