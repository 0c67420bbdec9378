"""In-batch negatives: the other targets of the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from typing_extensions import override

from spn4cir_core.objectives.base import Batch, Objective
from spn4cir_core.objectives.similarity import similarities

if TYPE_CHECKING:
    from torch import Tensor


class InBatch(Objective):
    """InfoNCE over the targets of the batch, from query to target (SPN4CIR stage 1; van den Oord et al. 2018).

    A target that stands in the batch twice, and every known non-negative, is no negative.
    """

    plugin_kind: ClassVar[str] = "in_batch"

    direction: Literal["query", "both"] = "query"
    """``both`` adds, and averages with, the softmax of a target over the queries of the batch (CLIP); SPN4CIR has one
    direction."""

    @override
    def loss(self, batch: Batch) -> Tensor:
        import torch

        logits_BB = similarities(batch.queries_BD, batch.targets_BD) / batch.temperature
        logits_BB = logits_BB.masked_fill(excluded_in_batch(batch), -torch.inf)
        losses_B = torch.logsumexp(logits_BB, dim=1) - logits_BB.diagonal()
        if self.direction == "both":
            losses_B = (losses_B + torch.logsumexp(logits_BB, dim=0) - logits_BB.diagonal()) / 2
        return batch.mean(losses_B)


def excluded_in_batch(batch: Batch) -> Tensor:
    """(B, B) bool: targets (columns) that must not count as negatives of a query (row); the diagonal is False."""
    import torch

    is_excluded_BB = batch.is_excluded(batch.target_rows_B)
    return is_excluded_BB & ~torch.eye(len(is_excluded_BB), dtype=torch.bool, device=is_excluded_BB.device)
