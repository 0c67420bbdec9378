"""Settings of the ``eval_report`` stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spn4cir_core.evaluation.base import EVALUATORS, Evaluator
from spn4cir_core.plugins import Choice, Settings


class EvaluationSettings(Settings):
    """What is measured, and how sure one can be."""

    evaluators: tuple[Annotated[Evaluator, Choice(EVALUATORS)], ...] = ()
    """Empty: every packaged evaluator that finds queries in the corpus."""
    ks: tuple[int, ...] = (1, 5, 10, 50)
    bootstrap_draws: int = Field(default=1000, ge=100)
    gallery_pictures: int = Field(default=12, ge=0)
    """Queries shown with pictures in the report, per query set."""
