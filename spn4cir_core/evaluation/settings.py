"""Settings of the ``eval_report`` stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from spn4cir_core.evaluation.base import EVALUATORS, Evaluator
from spn4cir_core.evaluation.index_settings import IndexSettings
from spn4cir_core.fingerprints import AddedLater
from spn4cir_core.plugins import Choice, Settings


class EvaluationSettings(Settings):
    """What is measured, and how sure one can be."""

    evaluators: tuple[Annotated[Evaluator, Choice(EVALUATORS)], ...] = ()
    """Empty: every packaged evaluator that finds queries in the corpus."""
    ks: tuple[int, ...] = Field(default=(1, 5, 10, 50), min_length=1)
    """The k of recall@k, ascending."""
    bootstrap_draws: int = Field(default=1000, ge=100)
    gallery_pictures: int = Field(default=12, ge=0, le=60)
    """Queries shown with pictures in the report, per query set; as many triplets are shown."""
    searched_by: Annotated[IndexSettings | None, AddedLater()] = None
    """Tell beside recall@k what a search through such an index of each gallery finds; None: tell nothing."""

    @field_validator("ks")
    @classmethod
    def _ascending(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        if min(ks) < 1 or list(ks) != sorted(set(ks)):
            raise ValueError("the k of recall@k must be whole numbers from 1, ascending, each once")
        return ks
