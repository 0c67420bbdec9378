"""One triplet's query is the same in two of its wordings."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.objectives.base import REWORDED_QUERIES, Batch, Objective

if TYPE_CHECKING:
    from torch import Tensor


class WordingConsistency(Objective):
    """``strength · (1 − cos(q(r,m), q(r,m')))``: m' is another of the triplet's texts, drawn at each step.

    Source: consistency regularisation, the same answer to two views of one input (R-Drop, Liang et al. 2021), with
    wordings in place of dropout masks. A triplet with one text adds nothing, so let each pair have several
    (``modified_texts.per_pair``, ``choose = "all"``). Teaches nothing by itself: meant for a ``mixture`` with
    ``in_batch`` or ``bank``; costs one more pass of the query encoder.
    Helps where people word one change in many ways. Hurts where a pair's texts do not say the same, such as a language
    model's beside templates that name the target.
    """

    plugin_kind: ClassVar[str] = "wording_consistency"

    strength: float = Field(default=1.0, gt=0)
    """Factor of ``1 − cos``, which is between 0 and 2."""

    @property
    @override
    def needs(self) -> frozenset[str]:
        return frozenset({REWORDED_QUERIES})

    @override
    def loss(self, batch: Batch) -> Tensor:
        reworded_BD = batch.output(REWORDED_QUERIES)
        is_reworded_B = reworded_BD.detach().abs().amax(dim=1) > 0
        cosines_B = (batch.queries_BD * reworded_BD).sum(dim=1)
        return batch.mean(self.strength * (1 - cosines_B) * is_reworded_B)
