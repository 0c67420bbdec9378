"""Settings of the ``triplets`` stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from spn4cir_core.plugins import Settings


class TripletSettings(Settings):
    """How annotated and generated triplets are put together."""

    origins: tuple[Literal["annotated", "generated"], ...] = ("annotated", "generated")
    max_generated: int | None = Field(default=None, ge=0)
    annotated_repeats: int = Field(default=1, ge=1)
    """Times an annotated triplet appears in an epoch; more helps where they are few."""
    candidates: Literal["triplets", "split"] = "split"
    """The candidate set: images of the training triplets (as published), or all images of the training split."""
