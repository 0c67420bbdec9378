"""Softmax whose label gives the negatives a small share of the mass."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.objectives.base import Batch
from spn4cir_core.objectives.negatives import AgainstNegatives, Negatives, info_nce

if TYPE_CHECKING:
    from torch import Tensor


class LabelSmoothing(AgainstNegatives):
    """Cross-entropy with a target mass of 1 − ε on the target and ε/K on each of the K negatives.

    With ``ℓ = −log p⁺`` it is ``ℓ + ε (s⁺ − mean_j s_j)/τ``.
    Source: Szegedy et al. 2016; between images and texts PyramidCLIP (Gao et al. 2022; ε about 0.2).
    Helps where some unknown negatives are right answers: none of them is pushed to −∞. Hurts at low temperatures and
    over large banks, where an even mass asks far candidates to come nearer; keep ε small there.
    """

    plugin_kind: ClassVar[str] = "label_smoothing"

    epsilon: float = Field(default=0.1, ge=0, lt=1)
    """ε: the share of the target mass that the negatives get."""

    @override
    def losses(self, batch: Batch, negatives: Negatives) -> Tensor:
        live_BK = negatives.live_BK
        losses_B = info_nce(negatives.positive_B, negatives.scores_BK, live_BK, batch.temperature)
        gaps_BK = (negatives.positive_B[:, None] - negatives.scores_BK).masked_fill(~live_BK, 0)
        gap_B = gaps_BK.sum(dim=1) / live_BK.sum(dim=1).clamp_min(1)
        return losses_B + self.epsilon * gap_B / batch.temperature
