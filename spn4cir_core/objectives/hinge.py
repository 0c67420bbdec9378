"""Hinges between the target and its negatives, summed or the greatest alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from spn4cir_core.objectives.base import Batch
from spn4cir_core.objectives.negatives import AgainstNegatives, Negatives

if TYPE_CHECKING:
    from torch import Tensor


class Hinge(AgainstNegatives):
    """``max_j [α + s_j − s⁺]₊`` or, with ``keep = "sum"``, ``Σ_j [α + s_j − s⁺]₊``; the temperature plays no part.

    Source: VSE++ (Faghri et al. 2018; α = 0.2, max of hinges). In the batch the same hinge compares each target with
    the queries (both directions, added up, as published); a bank has one direction. The greatest hinge of a batch
    gives one gradient per query and is robust, as a batch's hardest is rarely the hardest of all. Over a bank it
    is: there the maximum selects false negatives, so use it with guards, or take the sum.
    """

    plugin_kind: ClassVar[str] = "hinge"

    margin: float = Field(default=0.2, gt=0, le=2)
    """α: a difference of cosines."""
    keep: Literal["max", "sum"] = "max"
    """The greatest hinge of a query alone, or the sum of all."""

    @override
    def losses(self, batch: Batch, negatives: Negatives) -> Tensor:

        losses_B = self._hinges(negatives.positive_B, negatives.scores_BK, negatives.live_BK)
        if negatives.pool is not batch.targets_BD:
            return losses_B
        scores_BB = batch.similarities_BB.T
        live_BB = ~batch.is_excluded(batch.target_rows_B).T
        return losses_B + self._hinges(negatives.positive_B, scores_BB, live_BB)

    def _hinges(self, positive_B: Tensor, scores_BK: Tensor, live_BK: Tensor) -> Tensor:
        hinges_BK = (self.margin + scores_BK - positive_B[:, None]).relu().masked_fill(~live_BK, 0)
        return hinges_BK.sum(dim=1) if self.keep == "sum" else hinges_BK.amax(dim=1)
