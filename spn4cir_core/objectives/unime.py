"""InfoNCE over the hardest negatives, without candidates that score far above the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.objectives.base import Batch
from spn4cir_core.objectives.negatives import AgainstNegatives, Negatives, info_nce

if TYPE_CHECKING:
    from torch import Tensor

    from spn4cir_core.objectives.hard_rows import Refuse


class UniME(AgainstNegatives):
    """InfoNCE over the ``top_k`` hardest candidates with ``s_j ≤ s⁺ + β``.

    Source: UniME (Gu et al. 2025; β = 0.1, k = 8, τ = 0.02). A candidate that beats the target by more than β is taken
    for a right answer that nobody annotated. Costs nothing and needs no other model.
    Helps once the model is good enough that beating the target means something. Hurts early on, when wrong
    candidates beat the target everywhere and those very negatives are excluded.
    """

    plugin_kind: ClassVar[str] = "unime"

    top_k: int | None = Field(default=8, ge=1)
    """Negatives of each query; None takes all."""
    beta: float = Field(default=0.1, ge=0)
    """β: a difference of cosines."""

    @override
    def refuse(self, batch: Batch, positive_B: Tensor) -> Refuse:
        ceiling_B1 = positive_B[:, None] + self.beta
        return lambda scores_BC, block: scores_BC > ceiling_B1

    @override
    def losses(self, batch: Batch, negatives: Negatives) -> Tensor:
        return info_nce(negatives.positive_B, negatives.scores_BK, negatives.live_BK, batch.temperature)
