"""SPRC's terms beside the loss of composed queries: texts with learnt prompts, and prompts near to the learnt ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, Field
from typing_extensions import override

from spn4cir_core.engine.plugins import Choice
from spn4cir_core.objectives.base import OBJECTIVES, Batch, Objective, without_memory
from spn4cir_core.objectives.in_batch import InBatch

if TYPE_CHECKING:
    from torch import Tensor

TEXT_QUERIES, PROMPT_DISTANCES = "prompt_text_queries", "prompt_distances"
"""Outputs of the backbone ``sprc``: (B, D) and (B,)."""


class PromptAlignment(Objective):
    """``L(queries) + text_weight · L(texts read with learnt prompts) + alignment_weight · |prompts − learnt ones|²``.

    L is another objective, as a rule ``in_batch``; the squared distance is that of the mean prompts, averaged over
    their dimensions, and no gradient of it reaches the learnt ones. Source: SPRC (Bai et al. 2024), stage 1.
    Helps the prompts of reference and text to say what a text alone should say to find the target. Hurts, and costs a
    second pass of the Q-Former, where texts say little without their reference.
    """

    plugin_kind: ClassVar[str] = "prompt_alignment"

    text_weight: float = Field(default=1.0, ge=0)
    """Published: FashionIQ 1, CIRR 0.4."""
    alignment_weight: float = Field(default=1.0, ge=0)
    """Published: FashionIQ 1, CIRR 0.4."""
    of: Annotated[Objective, Choice(OBJECTIVES), AfterValidator(without_memory)] = InBatch()
    """L; none that fills a queue."""

    @property
    @override
    def within(self) -> tuple[Objective, ...]:
        return (self.of,)

    @property
    @override
    def needs(self) -> frozenset[str]:
        return super().needs | {TEXT_QUERIES, PROMPT_DISTANCES}

    @override
    def loss(self, batch: Batch) -> Tensor:
        of_texts = self.of.loss(replace(batch, queries_BD=batch.output(TEXT_QUERIES)))
        aligned = batch.mean(batch.output(PROMPT_DISTANCES))
        return self.of.loss(batch) + self.text_weight * of_texts + self.alignment_weight * aligned
