"""Settings of the ``triplets`` stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from spn4cir_core.plugins import Settings

GateName = Literal["caption_says_nothing", "captions_say_the_same"]


class TripletSettings(Settings):
    """How annotated and generated triplets are put together."""

    origins: tuple[Literal["annotated", "generated"], ...] = Field(default=("annotated", "generated"), min_length=1)
    max_generated: int | None = Field(default=None, ge=0)
    """At most this many generated training triplets, drawn by the recipe's seed."""
    annotated_repeats: int = Field(default=1, ge=1)
    """Times an annotated triplet appears in an epoch; more helps where they are few."""
    generated_weight: float = Field(default=1.0, gt=0)
    """Weight of a generated triplet's loss; an annotated one's is 1."""
    gates: tuple[GateName, ...] = ("caption_says_nothing", "captions_say_the_same")
    """What a generated triplet must pass; refusals are counted."""
    candidates: Literal["triplets", "split"] = "split"
    """The candidate set: images of the training triplets (as published), or all images of the training split."""
