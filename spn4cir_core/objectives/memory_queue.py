"""Targets of past steps as further negatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.errors import RecipeError
from spn4cir_core.objectives.base import MEMORY, Batch, Objective
from spn4cir_core.objectives.negatives import info_nce, positives
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint

if TYPE_CHECKING:
    from torch import Tensor

VECTORS, ROWS = "memory_queue_vectors", "memory_queue_rows"


class MemoryQueue(Objective):
    """InfoNCE over the batch's targets and the last ``size`` targets of earlier steps.

    Source: MoCo (He et al. 2020). Without ``momentum`` its slow target encoder is left out, as cross-batch memory did
    for encoders that move slowly anyway (Wang et al. 2020; it lets the encoder settle first, ``from_step`` here). The
    queue is part of the resume state. Helps stage 1 where the memory allows small batches only; gradient caching gives
    as many negatives without stale ones. Hurts at high learning rates: old vectors then lie where no target does any
    more; ``momentum`` keeps old and new ones alike, but the target encoder then learns only what it shares with the
    query's, which for ``blip4cir`` and ``sprc`` is not its projection.
    """

    plugin_kind: ClassVar[str] = "memory_queue"

    size: int = Field(default=2048, ge=1)
    """Targets in the queue, at most."""
    from_step: int = Field(default=0, ge=0)
    """The queue is filled from the start, and used from this step on."""
    momentum: Annotated[float | None, OmitDefaultFromFingerprint()] = Field(default=None, ge=0, lt=1)
    """Targets, those of the batch too, are embedded without gradients by an average of the network that keeps this
    share of itself at each step; MoCo's is 0.999. None: by the network itself."""

    @property
    @override
    def needs(self) -> frozenset[str]:
        return frozenset({MEMORY})

    @property
    @override
    def target_momentum(self) -> float | None:
        return self.momentum

    @override
    def loss(self, batch: Batch) -> Tensor:
        """() loss: the weighted mean over the batch.

        Raises:
            RecipeError: there is a candidate bank, so a queue of some of its rows adds nothing.
        """
        import torch

        from spn4cir_core.objectives.similarity import similarities

        if batch.bank_ND is not None:
            raise RecipeError("objective 'memory_queue' is for stage 1: the bank of stage 2 holds all it could keep")
        targets, rows_B = batch.targets_BD.detach(), batch.target_rows_B
        vectors = batch.memory.get(VECTORS, targets[:0]).to(targets.device, targets.dtype)
        rows_Q = batch.memory.get(ROWS, rows_B[:0]).to(rows_B.device)
        self._remember(batch, torch.cat([vectors, targets]), torch.cat([rows_Q, rows_B]))
        if batch.step < self.from_step:
            vectors, rows_Q = vectors[:0], rows_Q[:0]
        pool, rows = torch.cat([batch.targets_BD, vectors]), torch.cat([rows_B, rows_Q])
        scores = similarities(batch.queries_BD, pool)
        return batch.mean(info_nce(positives(batch), scores, ~batch.is_excluded(rows), batch.temperature))

    def _remember(self, batch: Batch, vectors: Tensor, rows: Tensor) -> None:
        batch.memory[VECTORS], batch.memory[ROWS] = vectors[-self.size :].clone(), rows[-self.size :].clone()
