"""Settings of the ``false_negatives`` stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from spn4cir_core.plugins import Settings

Guard = Literal["near_duplicate", "annotated_target", "same_caption", "same_text", "look_alike"]


class FalseNegativeSettings(Settings):
    """Which candidates are not negatives."""

    guards: tuple[Guard, ...] = ("near_duplicate", "annotated_target", "same_caption")
    look_alike_quantile: float = Field(default=0.999, gt=0.5, le=1)
    """For ``look_alike``: candidates whose similarity to the target lies above this quantile of all."""
