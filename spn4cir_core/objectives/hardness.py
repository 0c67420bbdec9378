"""Softmax in which hard negatives weigh more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from spn4cir_core.objectives.base import Batch
from spn4cir_core.objectives.negatives import FAR, AgainstNegatives, Negatives, softmax_loss

if TYPE_CHECKING:
    from torch import Tensor


class Hardness(AgainstNegatives):
    """``−log e^{s⁺/τ} / (α e^{s⁺/τ} + Σ_j w_j e^{s_j/τ})`` with weights of mean one that grow with hardness.

    ``by = "logit"``: ``w_j ∝ e^{β s_j/τ}`` with gradients through the weights, HN-NCE (Radenovic et al. 2023; α = 1,
    β = 0.5 as CoVR trains composed retrieval with). ``by = "cosine"``: ``w_j ∝ e^{β s_j}`` held fixed (RzenEmbed's
    stop-gradient; 9 is usual for negatives of the batch, 5 for mined ones; those codes leave the weights' sum free,
    here it is the number of negatives). β = 0 is InfoNCE.
    Helps where a batch or bank is full of easy negatives. Hurts where hard negatives are false ones, so use guards.
    """

    plugin_kind: ClassVar[str] = "hardness"

    alpha: float = Field(default=1.0, gt=0)
    """Weight of the target in the denominator."""
    beta: float = Field(default=0.5, ge=0)
    """Hardness: per logit, or per cosine."""
    by: Literal["logit", "cosine"] = "logit"
    """What β multiplies: s/τ with gradients through the weights, or s without."""

    @override
    def losses(self, batch: Batch, negatives: Negatives) -> Tensor:
        import torch

        logits_BK = negatives.scores_BK / batch.temperature
        hardness_BK = self.beta * (logits_BK if self.by == "logit" else negatives.scores_BK.detach())
        hardness_BK = hardness_BK.masked_fill(~negatives.live_BK, FAR)
        count_B1 = negatives.live_BK.sum(dim=1, keepdim=True).clamp_min(1).to(logits_BK.dtype)
        log_weights_BK = hardness_BK - torch.logsumexp(hardness_BK, dim=1, keepdim=True) + count_B1.log()
        positive_B = negatives.positive_B / batch.temperature
        shifted_B = positive_B + math.log(self.alpha)
        losses_B = softmax_loss(shifted_B, logits_BK + log_weights_BK, negatives.live_BK)
        return losses_B + math.log(self.alpha)
