"""What every training objective is."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spn4cir_core.plugins import Plugin, Room

if TYPE_CHECKING:
    from torch import Tensor

OBJECTIVES = Room(
    "objective",
    {
        "in_batch": "spn4cir_core.objectives.in_batch:InBatch",
        "bank": "spn4cir_core.objectives.bank:Bank",
    },
)


@dataclass(frozen=True)
class Batch:
    """What an objective may look at: B triplets of one step, D dimensions, N candidates."""

    queries_BD: Tensor
    """Unit vectors of the composed queries; carry gradients."""
    targets_BD: Tensor
    """Unit vectors of the targets; carry gradients in stage 1, rows of the bank in stage 2."""
    target_rows_B: Tensor
    """Row of each target in the candidate set (equal rows are the same picture)."""
    weights_B: Tensor
    bank_ND: Tensor | None
    """Frozen unit vectors of every candidate; None in stage 1."""
    not_negative_rows: Tensor
    """(M, 2) int64 pairs (position in the batch, candidate row) that are no negatives; never the target itself."""
    temperature: Tensor
    step: int


class Objective(Plugin):
    """A loss: settings are fields; :meth:`loss` is called once per step."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Scalar loss, the weighted mean over the batch."""
