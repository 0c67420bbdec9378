"""The whole candidate bank as negatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.errors import RecipeError
from spn4cir_core.objectives.base import Batch, Objective
from spn4cir_core.objectives.in_batch import InBatch

if TYPE_CHECKING:
    from torch import Tensor


class Bank(Objective):
    """Softmax over every candidate image, known false negatives excluded (SPN4CIR, Feng et al. 2024, stage 2).

    Exact, in one streaming pass; see :mod:`spn4cir_core.objectives.bank_softmax`.
    """

    plugin_kind: ClassVar[str] = "bank"

    in_batch_weight: float = Field(default=0.0, ge=0, le=1)
    """Share of the in-batch loss in a mixture; steadies the training where texts alone name the target."""

    @override
    def loss(self, batch: Batch) -> Tensor:
        """() loss: the weighted mean over the batch.

        Raises:
            RecipeError: there is no bank, as in stage 1.
        """
        from spn4cir_core.objectives.bank_softmax import bank_softmax_losses

        if batch.bank_ND is None:
            raise RecipeError("objective 'bank' needs a candidate bank, which only stage 2 has; use 'in_batch'")
        losses_B = bank_softmax_losses(
            batch.queries_BD,
            batch.bank_ND if batch.bank_shard is None else batch.bank_shard,
            batch.target_rows_B,
            batch.false_negatives_M2,
            batch.temperature,
        )
        bank_loss = batch.mean(losses_B)
        if self.in_batch_weight == 0:
            return bank_loss
        return (1 - self.in_batch_weight) * bank_loss + self.in_batch_weight * InBatch().loss(batch)
