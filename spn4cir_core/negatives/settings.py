"""Settings of the ``false_negatives`` stage."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spn4cir_core.engine.plugins import Choice, Named, NamedChoice, Settings
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.negatives.base import GUARDS
from spn4cir_core.triplets.base import JUDGES
from spn4cir_core.triplets.judge import Judge


class FalseNegativeSettings(Settings):
    """Which candidates are excluded from the negatives: those that any of the guards names."""

    guards: tuple[Annotated[Named, NamedChoice(GUARDS)], ...] = (
        "near_duplicate",
        "annotated_target",
        "soft_target",
        "same_text",
        "same_caption",
    )
    """A guard of your own works as ``"package.module:Class"``, or as a table with that ``kind`` and its settings."""
    look_alike_above: Literal["quantile", "upper_fence"] = "quantile"
    """For ``look_alike``: what a candidate's similarity to the target must lie above. ``upper_fence`` finds it itself
    as the upper end of the box plot of all similarities, Q3 + whisker · (Q3 − Q1) (UNPG, Jung et al. 2022); where
    images fall into classes that may lie above 1, and guards nothing."""
    look_alike_quantile: float = Field(default=0.999, gt=0.5, lt=1)
    """For ``quantile``: the quantile of all similarities."""
    look_alike_whisker: float = Field(default=1.5, ge=0)
    """For ``upper_fence``: lengths of the box that the whisker is long."""
    judge: Annotated[Judge, Choice(JUDGES)] | None = None
    """For ``judge``: a model that looks at the reference beside a candidate and says whether the text leads there."""
    judged_per_triplet: int = Field(default=8, ge=1)
    """For ``judge``: candidates that it is asked about for each triplet, those nearest to the target by embedding."""
    least_judge_score: float = Field(default=0.5, ge=0, le=1)
    """For ``judge``: from this score on a candidate is a right answer."""
    most_per_guard: int = Field(default=1000, ge=1)
    """Candidates that one guard may exclude for one triplet. Where more qualify (a caption shared by thousands), those
    nearest to the target in the order of image ids are taken and the rest is counted."""

    @model_validator(mode="after")
    def _a_judge_that_the_guard_needs(self) -> Self:
        users = [guard.plugin_kind for guard in map(GUARDS.build, self.guards) if guard.requires_judge]
        if users and self.judge is None:
            raise ValueError(f"the guard {users[0]!r} needs a table [false_negatives.judge]")
        return self


class FalseNegativesInput(Settings):
    """The tables of a recipe that this stage reads."""

    false_negatives: FalseNegativeSettings
    images: ImageSettings
