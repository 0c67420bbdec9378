"""Several objectives at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator, model_serializer, model_validator
from typing_extensions import override

from spn4cir_core.engine.plugins import Choice, Settings, as_table
from spn4cir_core.errors import RecipeError
from spn4cir_core.objectives.base import MEMORY, OBJECTIVES, Batch, Objective

if TYPE_CHECKING:
    from torch import Tensor


class Part(Settings):
    """One objective of a mixture, in a recipe ``{kind = …, weight = …, **settings}``."""

    weight: float = Field(default=1.0, gt=0)
    """Factor of its loss."""
    objective: Annotated[Objective, Choice(OBJECTIVES)]
    """Any objective of the room."""

    @model_validator(mode="before")
    @classmethod
    def _from_table(cls, value: Any) -> Any:
        if isinstance(value, dict) and "objective" not in value:
            rest = {key: item for key, item in value.items() if key != "weight"}
            return {"weight": value.get("weight", 1.0), "objective": rest}
        return value

    @model_serializer
    def _as_table(self) -> dict[str, Any]:
        return as_table(self.objective) | {"weight": self.weight}


class Mixture(Objective):
    """``Σ weight · loss`` of the parts; weights are taken as they are, not divided by their sum.

    Against the shortcut, for one: the bank for its negatives, ``reference_negatives`` so that the reference counts, and
    ``pull`` so that little of stage 1 is lost. Losses differ in scale (that of a bank of N candidates starts near
    log N, that of a batch near log B), so look at the parts before weighing them.
    """

    plugin_kind: ClassVar[str] = "mixture"

    parts: tuple[Part, ...] = Field(min_length=1)
    """The objectives with their weights; at most one has a queue."""

    @field_validator("parts")
    @classmethod
    def _one_memory(cls, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        if sum(MEMORY in part.objective.needs for part in parts) > 1:
            raise RecipeError("a mixture can hold one 'memory_queue': two would share, and fill twice, the same queue")
        return parts

    @property
    @override
    def within(self) -> tuple[Objective, ...]:
        return tuple(part.objective for part in self.parts)

    @override
    def loss(self, batch: Batch) -> Tensor:
        import torch

        return torch.stack([part.weight * part.objective.loss(batch) for part in self.parts]).sum()
