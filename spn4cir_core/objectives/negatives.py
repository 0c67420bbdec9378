"""The negatives of each query, and the objectives that differ only in what they do with them.

B queries with K negatives each, D dimensions. Negatives come from the batch (the other targets) or from the bank.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from typing_extensions import override

from spn4cir_core.errors import RecipeError
from spn4cir_core.objectives.base import Batch, Objective

if TYPE_CHECKING:
    from torch import Tensor

    from spn4cir_core.objectives.hard_rows import Refuse

FAR = -1e4
"""A logit so low that exp() is 0 without being −inf, so that sums and differences stay finite."""


@dataclass(frozen=True)
class Negatives:
    """Scores of B queries with their targets and with K candidates each."""

    positive_B: Tensor
    """Cosines of queries and their targets; carry gradients."""
    scores_BK: Tensor
    """Cosines of queries and candidates; carry gradients. Only those of ``live_BK`` are negatives."""
    live_BK: Tensor
    """Bool: which candidates are negatives, that is neither the target, nor a known false negative, nor refused."""
    pool: Tensor
    """The candidates: the targets of the batch or the bank, (N, D) or (N, T, D)."""
    rows_BK: Tensor | None
    """Row of each candidate in the pool; None where the K candidates are the whole pool in its order."""

    def scores_with(self, vectors_BD: Tensor) -> Tensor:
        """(B, K) cosines of other vectors, one for each query, with that query's candidates."""
        return scores_with(vectors_BD, self.pool, self.rows_BK)


class AgainstNegatives(Objective):
    """An objective whose loss of a query depends on its scores with its target and with its negatives alone."""

    over: Literal["batch", "bank"] | None = None
    """Where negatives come from. None: from the bank where there is one (stage 2), else from the batch."""
    top_k: int | None = Field(default=200, ge=1)
    """Hardest negatives that a query keeps, selected again at each step (ADORE; its published code
    takes 200). None keeps all, which over a bank needs memory for batch × bank scores."""

    @abstractmethod
    def losses(self, batch: Batch, negatives: Negatives) -> Tensor:
        """(B,) losses of the queries, before weighting; carry the gradients."""

    def refuse(self, batch: Batch, positive_B: Tensor) -> Refuse | None:
        """A test for candidates that this objective does not take for negatives; None, the default, refuses none.

        Args:
            positive_B: (B,) cosines of queries and their targets, without gradients.
        """
        return None

    @override
    def loss(self, batch: Batch) -> Tensor:
        """() loss: the weighted mean over the batch.

        Raises:
            RecipeError: ``over`` is ``bank`` and there is none, as in stage 1.
        """
        return batch.mean(self.losses(batch, self.negatives(batch)))

    def negatives(self, batch: Batch) -> Negatives:
        """The negatives of a batch, from the batch or the bank as ``over`` says.

        Raises:
            RecipeError: ``over`` is ``bank`` and there is none, as in stage 1.
        """
        import torch

        from spn4cir_core.objectives.hard_rows import hard_rows

        pool, excluded_M2 = self._pool(batch)
        positive_B = positives(batch)
        refuse = self.refuse(batch, positive_B.detach())
        if self.top_k is not None and self.top_k < len(pool):
            held = batch.bank_shard if pool is batch.bank_ND and batch.bank_shard is not None else pool
            rows_BK, live_BK = hard_rows(batch.queries_BD, held, self.top_k, excluded_M2, refuse)
            return Negatives(positive_B, scores_with(batch.queries_BD, pool, rows_BK), live_BK, pool, rows_BK)
        pool = pool.to(batch.queries_BD.device, batch.queries_BD.dtype)
        scores_BN = scores_with(batch.queries_BD, pool, None)
        live_BN = torch.ones_like(scores_BN, dtype=torch.bool)
        live_BN[excluded_M2[:, 0], excluded_M2[:, 1]] = False
        if refuse is not None:
            with torch.no_grad():
                live_BN &= ~refuse(scores_BN.detach(), pool.detach())
        return Negatives(positive_B, scores_BN, live_BN, pool, None)

    def _pool(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The candidates, (N, D) or (N, T, D), and the (M, 2) int64 pairs (query, row) that are not negatives."""
        import torch

        if self.over == "bank" or (self.over is None and batch.bank_ND is not None):
            if batch.bank_ND is None:
                raise RecipeError(
                    f"objective {self.plugin_kind!r} with over = 'bank' needs a candidate bank, which only stage 2 "
                    "has; use over = 'batch'"
                )
            positions_B = torch.arange(len(batch.target_rows_B), device=batch.target_rows_B.device)
            targets_B2 = torch.stack([positions_B, batch.target_rows_B], dim=1)
            return batch.bank_ND, torch.cat([batch.false_negatives_M2, targets_B2])
        return batch.targets_BD, batch.is_excluded(batch.target_rows_B).nonzero()


def positives(batch: Batch) -> Tensor:
    """(B,) cosines of queries and their targets."""
    from spn4cir_core.objectives.similarity import nearest_tokens

    return (batch.queries_BD * nearest_tokens(batch.queries_BD, batch.targets_BD)).sum(dim=1)


def scores_with(vectors_BD: Tensor, pool: Tensor, rows_BK: Tensor | None) -> Tensor:
    """(B, K) cosines of (B, D) vectors with each one's own K rows of the pool; with the whole pool where None."""
    from spn4cir_core.objectives.hard_rows import vectors_at
    from spn4cir_core.objectives.similarity import similarities

    if rows_BK is None:
        return similarities(vectors_BD, pool)
    return (vectors_at(vectors_BD, pool, rows_BK) @ vectors_BD[:, :, None]).squeeze(2)


def info_nce(positive_B: Tensor, scores_BK: Tensor, live_BK: Tensor, temperature: Tensor) -> Tensor:
    """(B,) InfoNCE losses ``−log e^{s⁺/τ} / (e^{s⁺/τ} + Σ_live e^{s_j/τ})`` (van den Oord et al. 2018)."""
    return softmax_loss(positive_B / temperature, scores_BK / temperature, live_BK)


def softmax_loss(positive_B: Tensor, logits_BK: Tensor, live_BK: Tensor) -> Tensor:
    """(B,) losses ``−log e^{l⁺} / (e^{l⁺} + Σ_live e^{l_j})`` of (B,) positive and (B, K) other logits."""
    import torch

    others_BK = logits_BK.masked_fill(~live_BK, -torch.inf)
    return torch.logsumexp(torch.cat([positive_B[:, None], others_BK], dim=1), dim=1) - positive_B
