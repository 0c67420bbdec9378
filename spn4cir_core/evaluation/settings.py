"""Settings of the ``eval_report`` stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from spn4cir_core.engine.plugins import Choice, Settings
from spn4cir_core.evaluation.base import EVALUATORS, Evaluator
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.index.settings import IndexSettings
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint


class EvaluationSettings(Settings):
    """Which query sets are measured, at which k, and how intervals are drawn."""

    evaluators: tuple[Annotated[Evaluator, Choice(EVALUATORS)], ...] = ()
    """Empty: every packaged evaluator that finds queries in the corpus."""
    ks: tuple[int, ...] = Field(default=(1, 5, 10, 50), min_length=1)
    """The k of recall@k, ascending."""
    bootstrap_draws: int = Field(default=1000, ge=100)
    gallery_pictures: int = Field(default=12, ge=0, le=60)
    """Queries shown with pictures in the report, per query set; as many triplets are shown."""
    searched_by: Annotated[IndexSettings | None, OmitDefaultFromFingerprint()] = None
    """Tell beside recall@k what a search through such an index of each gallery finds; None: tell nothing."""

    gallery_sample: Annotated[int | None, OmitDefaultFromFingerprint()] = Field(default=None, ge=10)
    """For quick evaluation: rank about so many images of each gallery, hard ones among them; None: all. On icons the
    order of 135 models by recall@1 is the whole gallery's to Kendall's τ 0.90 with 29 % of the images, by recall@10 to
    0.60 (docs/experiments.md)."""
    published: Annotated[str, OmitDefaultFromFingerprint()] = ""
    """The packaged recipe of published settings that these are to be compared with; inherited through ``base``."""
    differences: Annotated[tuple[str, ...], OmitDefaultFromFingerprint()] = ()
    """Settings in which the recipe differs from ``published``; computed when it is read, and named by the report."""
    captions_of_gallery: Annotated[bool, OmitDefaultFromFingerprint()] = False
    """Whether sets of published protocols are also asked of the blend, which reads captions of the gallery."""

    @field_validator("ks")
    @classmethod
    def _ascending(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        if min(ks) < 1 or list(ks) != sorted(set(ks)):
            raise ValueError("the k of recall@k must be whole numbers from 1, ascending, each once")
        return ks


class ReportInput(Settings):
    """The tables of a recipe that this stage reads."""

    eval_report: EvaluationSettings
    images: ImageSettings
    seed: int
