"""The four ways of making a negative of a triplet, as studied in the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.objectives.base import Batch, Objective
from spn4cir_core.objectives.replaced import Part, replaced_losses

if TYPE_CHECKING:
    from torch import Tensor


class NegativeTypes(Objective):
    """Mean of InfoNCE losses, one for each part of the triplet that is replaced by those of other triplets.

    With q(r, m) the composed query of reference and text, and t the target, the classes beside q(rᵢ, mᵢ)·tᵢ are, for
    ``target`` q(rᵢ, mᵢ)·tⱼ, for ``reference`` q(rⱼ, mᵢ)·tᵢ, for ``text`` q(rᵢ, mⱼ)·tᵢ, for ``query`` q(rⱼ, mⱼ)·tᵢ.
    Source: SPN4CIR's study (Feng et al. 2024), stage 1. Its finding: replacing the target alone is best, the others
    are too easy or false (with a text that names the target in full another reference is right too) and expensive.
    ``reference`` is also what forces a model to look at the reference, see ``reference_negatives``; ``text`` to read.
    """

    plugin_kind: ClassVar[str] = "negative_types"
    plugin_version: ClassVar[int] = 2

    types: tuple[Part, ...] = Field(default=("target", "reference", "text", "query"), min_length=1)
    """The parts that are replaced; each gives one loss."""
    per_query: int | None = Field(default=4, ge=1)
    """Replacements where queries are composed anew (``reference``, ``text``): each costs a pass of the composer for the
    whole batch. None takes all others, batch² queries, as published."""

    @override
    def loss(self, batch: Batch) -> Tensor:
        import torch

        losses = [replaced_losses(batch, part, self.per_query) for part in dict.fromkeys(self.types)]
        return batch.mean(torch.stack(losses).mean(dim=0))
