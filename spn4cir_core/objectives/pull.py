"""The query stays near its vector at the start of the stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.objectives.base import START_QUERIES, Batch, Objective

if TYPE_CHECKING:
    from torch import Tensor


class Pull(Objective):
    """``strength · (1 − cos(q, q₀))`` with q₀ the same query by the weights that the stage started from.

    Source: our own experiments against the shortcut (strength 20); distillation from one's past self, as in learning
    without forgetting (Li and Hoiem 2016). Teaches nothing by itself, so mix it with ``bank`` or ``in_batch``.
    Helps where the bank would unlearn the reference faster than it teaches. Hurts where stage 1 was cut short: what is
    still to be learnt lies away from q₀.
    """

    plugin_kind: ClassVar[str] = "pull"

    strength: float = Field(default=20.0, gt=0)
    """Factor of ``1 − cos``, which is between 0 and 2."""

    @property
    @override
    def needs(self) -> frozenset[str]:
        return frozenset({START_QUERIES})

    @property
    @override
    def only_regularises(self) -> bool:
        return True

    @override
    def loss(self, batch: Batch) -> Tensor:
        cosines_B = (batch.queries_BD * batch.output(START_QUERIES)).sum(dim=1)
        return batch.mean(self.strength * (1 - cosines_B))
