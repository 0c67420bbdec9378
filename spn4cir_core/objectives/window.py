"""Negatives between the two steepest drops of the ranking behind the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.objectives.base import Batch
from spn4cir_core.objectives.negatives import FAR, AgainstNegatives, Negatives, info_nce

if TYPE_CHECKING:
    from torch import Tensor

    from spn4cir_core.objectives.hard_rows import Refuse


class Window(AgainstNegatives):
    """InfoNCE over the candidates between the two steepest drops of the scores behind the target.

    Candidates that beat the target are taken for right answers. The rest, highest first, follow the target:
    ``s⁺ ≥ s₁ ≥ s₂ ≥ …``; of the drops ``s_i − s_{i+1}`` the two greatest end the unlabelled right answers and the hard
    negatives, and what lies between them is the set. Source: QuRe (Kwak et al. 2025), which makes the sets anew every
    few epochs from the first 100; here each step does. QuRe's own pairwise loss is not part of it.
    Helps on composed queries with many unlabelled answers just behind the target. Hurts early on (a random ranking has
    no drops worth the name), so start from a trained stage 1.
    """

    plugin_kind: ClassVar[str] = "window"

    top_k: int | None = Field(default=100, ge=1)
    """Candidates behind the target among which the drops are searched."""

    @override
    def refuse(self, batch: Batch, positive_B: Tensor) -> Refuse:
        return lambda scores_BC, block: scores_BC > positive_B[:, None]

    @override
    def losses(self, batch: Batch, negatives: Negatives) -> Tensor:
        live_BK = negatives.live_BK & between_drops(negatives.positive_B, negatives.scores_BK, negatives.live_BK)
        return info_nce(negatives.positive_B, negatives.scores_BK, live_BK, batch.temperature)


def between_drops(positive_B: Tensor, scores_BK: Tensor, live_BK: Tensor) -> Tensor:
    """(B, K) bool: which live candidates rank after the first and not after the second of the two steepest drops.

    The last live candidate has no drop; where fewer than two drops remain, the set ends with that candidate.
    """
    import torch

    ranked_BK, order_BK = scores_BK.detach().masked_fill(~live_BK, FAR).sort(dim=1, descending=True)
    chain = torch.cat([positive_B.detach()[:, None], ranked_BK], dim=1)
    drops_BK = (chain[:, :-1] - chain[:, 1:]).masked_fill(ranked_BK <= FAR, -1)
    ranks_BK = torch.arange(drops_BK.shape[1], device=drops_BK.device).expand_as(drops_BK)
    steepest = drops_BK.argsort(dim=1, descending=True, stable=True)[:, :2]
    first_B1 = steepest.amin(dim=1, keepdim=True)
    last_B1 = steepest.amax(dim=1, keepdim=True) if steepest.shape[1] > 1 else first_B1 + 1
    inside_BK = (ranks_BK >= first_B1) & (ranks_BK < last_B1)
    return torch.zeros_like(live_BK).scatter(1, order_BK, inside_BK)
