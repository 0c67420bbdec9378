"""Softmax in which queries that are already answered well weigh less."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.objectives.base import Batch
from spn4cir_core.objectives.negatives import AgainstNegatives, Negatives, info_nce

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 1e-12
"""Least 1 − p whose power is differentiated."""


class Focal(AgainstNegatives):
    """``(1 − p⁺)^γ · (−log p⁺)`` with p⁺ the softmax probability of the target.

    Source: focal loss (Lin et al. 2017), for embeddings KaLM-Embedding-V2 (γ about 0.5). γ = 0 is InfoNCE.
    Helps once most queries are solved: the gradient goes to those that are not. Hurts where the unsolved ones are
    wrong triplets, which then rule the training; filter triplets or weigh them first.
    """

    plugin_kind: ClassVar[str] = "focal"

    gamma: float = Field(default=0.5, ge=0)
    """Exponent γ; 0 gives InfoNCE."""

    @override
    def losses(self, batch: Batch, negatives: Negatives) -> Tensor:
        losses_B = info_nce(negatives.positive_B, negatives.scores_BK, negatives.live_BK, batch.temperature)
        missing_B = (-(-losses_B).expm1()).clamp_min(LEAST)
        return missing_B**self.gamma * losses_B
