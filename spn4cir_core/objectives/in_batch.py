"""In-batch negatives: the other targets of the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from typing_extensions import override

from spn4cir_core.backbones.base import REFERENCE_TARGETS
from spn4cir_core.objectives.base import Batch, Objective
from spn4cir_core.objectives.similarity import similarities
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint

if TYPE_CHECKING:
    from torch import Tensor


class InBatch(Objective):
    """InfoNCE over the targets of the batch, from query to target (SPN4CIR stage 1; van den Oord et al. 2018).

    A target that is in the batch twice, and every known false negative, is not a negative.
    """

    plugin_kind: ClassVar[str] = "in_batch"

    direction: Literal["query", "both"] = "query"
    """``both`` adds, and averages with, the softmax of a target over the queries of the batch (CLIP); SPN4CIR has one
    direction."""

    references: Annotated[bool, OmitDefaultFromFingerprint()] = False
    """Whether the reference images of the batch are negatives too, the query's own among them, each once. They are the
    candidates that a model which ignores the text confuses with the target; they need one value a target."""

    @property
    @override
    def needs(self) -> frozenset[str]:
        return super().needs | ({REFERENCE_TARGETS} if self.references else frozenset())

    @override
    def loss(self, batch: Batch) -> Tensor:
        import torch

        logits_BB = batch.similarities_BB / batch.temperature
        logits_BB = logits_BB.masked_fill(batch.excluded_in_batch_BB, -torch.inf)
        candidates_BC = torch.cat([logits_BB, self._reference_logits(batch)], 1) if self.references else logits_BB
        losses_B = torch.logsumexp(candidates_BC, dim=1) - logits_BB.diagonal()
        if self.direction == "both":
            losses_B = (losses_B + torch.logsumexp(logits_BB, dim=0) - logits_BB.diagonal()) / 2
        return batch.mean(losses_B)

    def _reference_logits(self, batch: Batch) -> Tensor:
        """(B, B) of the batch's references as candidates; −inf where one is not a negative or already a candidate."""
        import torch

        rows_B = batch.reference_rows_B
        logits_BB = similarities(batch.queries_BD, batch.output(REFERENCE_TARGETS)) / batch.temperature
        repeated_B = (rows_B[:, None] == rows_B[None, :]).triu(diagonal=1).any(0) | torch.isin(
            rows_B, batch.target_rows_B
        )
        return logits_BB.masked_fill(batch.is_excluded(rows_B) | repeated_B[None, :], -torch.inf)
