"""One triplet ranks the targets of the batch alike in two of its wordings."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.objectives.base import REWORDED_QUERIES, Batch, Objective
from spn4cir_core.objectives.negatives import FAR
from spn4cir_core.objectives.similarity import similarities

if TYPE_CHECKING:
    from torch import Tensor


class WordingConsistency(Objective):
    """``strength · ½ (KL(p‖p') + KL(p'‖p))``, p and p' the softmax over the batch's targets of q(r,m) and q(r,m').

    m' is another of the triplet's texts, drawn at each step; a triplet with one text adds nothing, so let each pair
    have several (``modified_texts.per_pair``, ``choose = "all"``). Source: R-Drop (Liang et al. 2021), with wordings in
    place of dropout masks. Teaches nothing by itself: meant for a ``mixture`` with ``in_batch`` or ``bank``; costs one
    more pass of the query encoder.
    Helps where people word one change in many ways. Hurts where a pair's texts do not say the same, such as a language
    model's beside templates that name the target.
    """

    plugin_kind: ClassVar[str] = "wording_consistency"

    strength: float = Field(default=1.0, gt=0)
    """Factor of the divergence."""

    @property
    @override
    def needs(self) -> frozenset[str]:
        return frozenset({REWORDED_QUERIES})

    @property
    @override
    def only_regularises(self) -> bool:
        return True

    @override
    def loss(self, batch: Batch) -> Tensor:
        reworded_BD = batch.output(REWORDED_QUERIES)
        is_reworded_B = reworded_BD.detach().abs().amax(dim=1) > 0
        one_BB = self._log_shares(batch, batch.similarities_BB)
        other_BB = self._log_shares(batch, similarities(reworded_BD, batch.targets_BD))
        both_ways_B = ((one_BB.exp() - other_BB.exp()) * (one_BB - other_BB)).sum(dim=1) / 2
        return batch.mean(self.strength * both_ways_B * is_reworded_B)

    def _log_shares(self, batch: Batch, similarities_BB: Tensor) -> Tensor:
        """(B, B) logarithms of the softmax over the batch's targets without a query's known false negatives."""
        logits_BB = similarities_BB / batch.temperature
        return logits_BB.masked_fill(batch.excluded_in_batch_BB, FAR).log_softmax(dim=1)
