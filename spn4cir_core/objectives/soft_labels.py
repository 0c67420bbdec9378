"""Soft labels: a guide gives candidates other than the target a share of the mass."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.objectives.base import START_QUERIES, Batch
from spn4cir_core.objectives.guide import GuideName, guides
from spn4cir_core.objectives.negatives import FAR, AgainstNegatives, Negatives

if TYPE_CHECKING:
    from torch import Tensor


class SoftLabels(AgainstNegatives):
    """``½ KL(p‖r) + ½ KL(r‖p)``: p = softmax(s/τ) over target and candidates, r = softmax(g/τ_guide) of a guide.

    Source: UniME-V2 (Gu et al. 2025), whose scores are a multimodal judge's yes/no probabilities. The scores here are
    similarities: of candidates to the target (``by = "targets"``, the target itself scores 1), or those of the stage's
    starting queries (self-distillation, ``by = "start_queries"``). Known false negatives are excluded.
    Helps where several candidates are half right: none is pushed away as if it were wrong. Hurts where the guide is
    blind to what the text asks for: similarity to the target rewards whatever looks alike. ``guide_temperature`` says
    how sharp it is: at 0.02 a candidate 0.1 less similar gets e⁻⁵ of the target's mass. Mix it with ``bank``.
    """

    plugin_kind: ClassVar[str] = "soft_labels"

    by: GuideName = "targets"
    """The guide: similarity to the target, or the stage's starting queries."""
    guide_temperature: float = Field(default=0.02, gt=0)
    """τ_guide, that the guide's cosines are divided by."""

    @property
    @override
    def needs(self) -> frozenset[str]:
        return frozenset({START_QUERIES}) if self.by == "start_queries" else frozenset()

    @override
    def losses(self, batch: Batch, negatives: Negatives) -> Tensor:
        import torch

        with torch.no_grad():
            guides_BD, agreed_B = guides(batch, self.by)
            guided = log_shares(agreed_B, negatives.scores_with(guides_BD), negatives.live_BK, self.guide_temperature)
        ours = log_shares(negatives.positive_B, negatives.scores_BK, negatives.live_BK, batch.temperature)
        return symmetric_divergence(ours, guided)


def symmetric_divergence(one: Tensor, other: Tensor) -> Tensor:
    """(B,) ``½ KL(p‖r) + ½ KL(r‖p)`` of (B, C) logarithms of p and r."""
    return ((one.exp() - other.exp()) * (one - other)).sum(dim=1) / 2


def log_shares(positive_B: Tensor, scores_BK: Tensor, live_BK: Tensor, temperature: Tensor | float) -> Tensor:
    """(B, 1 + K) log-softmax of the target's score and those of the candidates that are live."""
    import torch

    others_BK = (scores_BK / temperature).masked_fill(~live_BK, FAR)
    return torch.log_softmax(torch.cat([positive_B[:, None] / temperature, others_BK], dim=1), dim=1)
