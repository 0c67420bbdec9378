"""Every pair of a query and a candidate judged on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from spn4cir_core.objectives.base import Batch
from spn4cir_core.objectives.negatives import AgainstNegatives, Negatives

if TYPE_CHECKING:
    from torch import Tensor


class Sigmoid(AgainstNegatives):
    """``−log σ(s⁺/τ + b) − Σ_j log σ(−s_j/τ − b)``.

    Source: SigLIP (Zhai et al. 2023), whose scale 10 is τ = 0.1 and whose b starts at −10 for batches of 32,768:
    about −log of the number of negatives, which is the default here. An objective has no weights, so b is not learnt.
    Helps with small batches, with several right answers and with noisy negatives, as pairs do not compete. Hurts
    where τ is far below 0.1: nearly every pair is then decided, and few give a gradient.
    """

    plugin_kind: ClassVar[str] = "sigmoid"

    bias: float | None = None
    """b; None is −log of a query's number of negatives."""

    @override
    def losses(self, batch: Batch, negatives: Negatives) -> Tensor:
        from torch.nn.functional import softplus

        bias_B = -negatives.live_BK.sum(dim=1).clamp_min(1).to(negatives.positive_B.dtype).log()
        if self.bias is not None:
            bias_B = bias_B.new_full(bias_B.shape, self.bias)
        pushed_BK = softplus(negatives.scores_BK / batch.temperature + bias_B[:, None])
        pulled_B = softplus(-negatives.positive_B / batch.temperature - bias_B)
        return pulled_B + pushed_BK.masked_fill(~negatives.live_BK, 0).sum(dim=1)
