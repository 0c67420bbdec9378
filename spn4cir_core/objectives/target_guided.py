"""TG-CIR's terms beside the loss of composed queries: a teacher that sees the target, and what the student learns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, Field
from typing_extensions import override

from spn4cir_core.engine.plugins import Choice
from spn4cir_core.objectives.base import OBJECTIVES, Batch, Objective, without_memory
from spn4cir_core.objectives.guide import guides
from spn4cir_core.objectives.in_batch import InBatch
from spn4cir_core.objectives.negatives import FAR

if TYPE_CHECKING:
    from torch import Tensor

TEACHER_QUERIES, TEACHER_TERMS = "teacher_queries", "teacher_terms"
"""Outputs of the backbone ``tgcir`` with ``teacher = true``: (B, D) and (B, 3)."""


class TargetGuided(Objective):
    """``L(queries) + a·L(teacher's queries) + b·sum + μ·orthogonality + ν·distillation + κ·KL(targets ‖ queries)``.

    L is another objective, as a rule ``in_batch``. The teacher composes reference and text knowing the target; its two
    shares per token should sum to one, the student's share should be the teacher's, and the tokens of an image or text
    should be orthogonal (see ``TgCirNetwork.extra_outputs``). The last term is, for each query, the divergence of its
    softmax over the batch's targets from that of its target's cosines with them at ``similarity_temperature``, which
    takes no gradient; known false negatives are excluded from both.

    Source: TG-CIR (Wen et al. 2023), stage 1, written anew from its description, which leaves open how terms are
    averaged: here over tokens, pairs of tokens and triplets. Helps the student to tell what of the reference stays.
    Hurts, and costs a second pass of the encoders, where triplets are wrong: the teacher explains any target.
    """

    plugin_kind: ClassVar[str] = "target_guided"

    teacher_weight: float = Field(default=1.0, ge=0)
    """a."""
    sum_weight: float = Field(default=1.0, ge=0)
    """b."""
    orthogonality_weight: float = Field(default=0.1, ge=0)
    """μ; published 0.1."""
    distillation_weight: float = Field(default=10.0, ge=0)
    """ν; published: FashionIQ 10, CIRR 1."""
    similarity_weight: float = Field(default=0.5, ge=0)
    """κ; published: FashionIQ 0.5, CIRR 0.1."""
    similarity_temperature: float = Field(default=0.1, gt=0)
    """Published: FashionIQ 0.1, CIRR 0.05."""
    of: Annotated[Objective, Choice(OBJECTIVES), AfterValidator(without_memory)] = InBatch()
    """L; none that fills a queue."""

    @property
    @override
    def within(self) -> tuple[Objective, ...]:
        return (self.of,)

    @property
    @override
    def needs(self) -> frozenset[str]:
        return super().needs | {TEACHER_QUERIES, TEACHER_TERMS}

    @override
    def loss(self, batch: Batch) -> Tensor:
        sums_B, orthogonality_B, distances_B = batch.output(TEACHER_TERMS).unbind(1)
        terms_B = self.sum_weight * sums_B + self.orthogonality_weight * orthogonality_B
        terms_B = terms_B + self.distillation_weight * distances_B + self.similarity_weight * self._divergences(batch)
        of_teacher = self.of.loss(replace(batch, queries_BD=batch.output(TEACHER_QUERIES)))
        return self.of.loss(batch) + self.teacher_weight * of_teacher + batch.mean(terms_B)

    def _divergences(self, batch: Batch) -> Tensor:
        """(B,) KL of the query's softmax over the batch from the target's own."""
        import torch

        from spn4cir_core.objectives.similarity import similarities

        is_excluded_BB = batch.excluded_in_batch_BB
        with torch.no_grad():
            wanted_BB = similarities(guides(batch, "targets")[0], batch.targets_BD)
        wanted_BB = (wanted_BB / self.similarity_temperature).masked_fill(is_excluded_BB, FAR)
        own_BB = batch.similarities_BB / batch.temperature
        own_BB = own_BB.masked_fill(is_excluded_BB, FAR)
        wanted_BB, own_BB = torch.log_softmax(wanted_BB, dim=1), torch.log_softmax(own_BB, dim=1)
        return (wanted_BB.exp() * (wanted_BB - own_BB)).sum(dim=1)
