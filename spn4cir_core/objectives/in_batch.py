"""In-batch negatives: the other targets of the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from spn4cir_core.objectives.base import Batch, Objective
from spn4cir_core.objectives.similarity import similarities

if TYPE_CHECKING:
    from torch import Tensor


class InBatch(Objective):
    """InfoNCE over the targets of the batch, from query to target (SPN4CIR stage 1; van den Oord et al. 2018).

    A target that stands in the batch twice, and every known non-negative, is no negative.
    """

    plugin_kind: ClassVar[str] = "in_batch"

    def loss(self, batch: Batch) -> Tensor:
        """See the base class."""
        import torch

        logits_BB = similarities(batch.queries_BD, batch.targets_BD) / batch.temperature
        logits_BB = logits_BB.masked_fill(no_negatives(batch), -torch.inf)
        losses_B = torch.logsumexp(logits_BB, dim=1) - logits_BB.diagonal()
        return (losses_B * batch.weights_B).sum() / batch.weights_B.sum()


def no_negatives(batch: Batch) -> Tensor:
    """(B, B) bool: targets (columns) that must not count as negatives of a query (row); the diagonal is False."""
    import torch

    rows_B = batch.target_rows_B
    masked = rows_B[:, None] == rows_B[None, :]
    positions_M, candidates_M = batch.not_negative_rows.unbind(1)
    hits = (rows_B[None, :] == candidates_M[:, None]).nonzero()
    masked[positions_M[hits[:, 0]], hits[:, 1]] = True
    return masked & ~torch.eye(len(rows_B), dtype=torch.bool, device=masked.device)
