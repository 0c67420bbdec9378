"""Soft labels by a reranker, which looks at the pictures of each query's hardest candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.engine.plugins import Choice
from spn4cir_core.errors import RecipeError
from spn4cir_core.objectives.base import JUDGED_ROWS, JUDGED_SCORES, Batch, Objective
from spn4cir_core.objectives.negatives import positives, scores_with
from spn4cir_core.objectives.soft_labels import log_shares, symmetric_divergence
from spn4cir_core.reranking.base import RERANKERS, Reranker

if TYPE_CHECKING:
    from torch import Tensor


class JudgedLabels(Objective):
    """``½ KL(p‖r) + ½ KL(r‖p)``: p = softmax(s/τ) over target and candidates, r = softmax(g/τ_label) of a reranker.

    Source: UniME-V2 (Gu et al. 2025): a multimodal judge scores each query's hardest candidates once, before the
    training, and a query learns how good each of them is instead of one right and many wrong. Candidates are the
    reranker's ``top`` hardest of the bank by the weights that stage 2 starts from, known false negatives excluded; of a
    triplet with several texts the first one is judged. Candidates without a score take no part, nor do triplets whose
    target has none.
    Helps where right answers that nobody annotated are common. Hurts where the judge errs (icons: −4.1 recall@1 beside
    the bank with a judge that is right for 9 % of the triplets; nothing beyond chance with one that is for 90 %), and
    costs a look at ``top`` + 1 pictures a triplet. Mix it with ``bank``.
    """

    plugin_kind: ClassVar[str] = "judged_labels"

    reranker: Annotated[Reranker, Choice(RERANKERS)]
    """A reranker's table."""
    label_temperature: float = Field(default=0.1, gt=0)
    """τ_label, that the reranker's scores are divided by; 0.1 for probabilities (``judge``), 1 for logits
    (``cross_encoder``) and ranks (``grid``)."""

    @property
    @override
    def needs(self) -> frozenset[str]:
        return frozenset({JUDGED_ROWS, JUDGED_SCORES})

    @property
    @override
    def rerankers(self) -> tuple[Reranker, ...]:
        return (self.reranker,)

    @override
    def loss(self, batch: Batch) -> Tensor:
        """() loss: the weighted mean over the batch.

        Raises:
            RecipeError: there is no bank, as in stage 1.
        """
        import torch

        if batch.bank_ND is None:
            raise RecipeError("objective 'judged_labels' needs a candidate bank, which only stage 2 has")
        rows_BK, judged_BL = batch.output(JUDGED_ROWS), batch.output(JUDGED_SCORES)
        target_B, others_BK = judged_BL[:, 0], judged_BL[:, 1:]
        live_BK = torch.isfinite(others_BK) & torch.isfinite(target_B)[:, None]
        wanted = log_shares(target_B.nan_to_num(), others_BK.nan_to_num(), live_BK, self.label_temperature)
        scores_BK = scores_with(batch.queries_BD, batch.bank_ND, rows_BK)
        ours = log_shares(positives(batch), scores_BK, live_BK, batch.temperature)
        return batch.mean(symmetric_divergence(ours, wanted))
