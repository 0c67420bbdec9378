"""The same text with another reference must not find the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.objectives.base import Batch, Objective
from spn4cir_core.objectives.replaced import replaced_losses

if TYPE_CHECKING:
    from torch import Tensor


class ReferenceNegatives(Objective):
    """``−log e^{q(rᵢ,mᵢ)·tᵢ/τ} / Σ_j e^{q(rⱼ,mᵢ)·tᵢ/τ}``: the text with other references stands for wrong queries.

    Source: one of SPN4CIR's four types, here against the shortcut: where a text tells the target in full, a model that
    ignores the reference scores q(rⱼ, mᵢ) as high as q(rᵢ, mᵢ) and pays for it. References that are the target, or
    known to answer the query, are left out. Meant for a ``mixture`` with ``bank``, in either stage. Hurts
    where texts do tell all (another reference then makes a right query, which is pushed away); nearer pairs and texts
    of the difference are the better cure.
    """

    plugin_kind: ClassVar[str] = "reference_negatives"
    plugin_version: ClassVar[int] = 2

    per_query: int | None = Field(default=4, ge=1)
    """Other references a text is joined with; each costs a pass of the composer for the whole batch. None takes all."""

    @override
    def loss(self, batch: Batch) -> Tensor:
        return batch.mean(replaced_losses(batch, "reference", self.per_query))
