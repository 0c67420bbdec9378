"""Settings of the ``false_negatives`` stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from spn4cir_core.plugins import Settings

GuardName = Literal["near_duplicate", "annotated_target", "same_text", "same_caption", "look_alike"]


class FalseNegativeSettings(Settings):
    """Which candidates are not negatives."""

    guards: tuple[GuardName, ...] = ("near_duplicate", "annotated_target", "same_text", "same_caption")
    look_alike_quantile: float = Field(default=0.999, gt=0.5, lt=1)
    """For ``look_alike``: candidates whose similarity to the target lies above this quantile of all similarities."""
    most_per_guard: int = Field(default=1000, ge=1)
    """Candidates that one guard may exclude for one triplet. Where more qualify (a caption shared by thousands), those
    nearest to the target in the order of image ids are taken and the rest is counted."""
