"""Which parameters a training changes, with which optimiser, at which rate and in which precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from spn4cir_core.training.settings import Schedule

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from spn4cir_core.training.adamw import AdamW


def learning_rate(step: int, steps: int, schedule: Schedule) -> float:
    """Linear warm-up, then half a cosine down to zero, or no change; ``step`` counts from 0."""
    warmup = round(schedule.warmup_share * steps)
    if step < warmup:
        return schedule.learning_rate * (step + 1) / warmup
    if schedule.rate_schedule == "constant":
        return schedule.learning_rate
    return schedule.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def trainable(module: nn.Module, frozen: Sequence[nn.Module | nn.Parameter]) -> list[nn.Parameter]:
    """Freeze what must not change; the parameters that are left."""
    for part in frozen:
        part.requires_grad_(False)
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


class Temperature:
    """The objective's temperature, and the tensor that is trained where it is learnt.

    Attributes:
        tensor: a scalar, the temperature's logarithm or itself (``learnt_temperature``).
    """

    def __init__(self, value: float, schedule: Schedule, device: torch.device) -> None:
        import torch

        self.is_logarithm = schedule.learnt_temperature == "logarithm"
        self.tensor = torch.tensor(math.log(value) if self.is_logarithm else value, device=device)
        self.tensor.requires_grad_(schedule.learn_temperature)

    def of_step(self) -> Tensor:
        """The temperature, with a gradient where it is learnt."""
        return self.tensor.exp() if self.is_logarithm else self.tensor

    @property
    def value(self) -> float:
        """The current temperature."""
        return float(self.of_step().detach())


def adamw(parameters: list[nn.Parameter], temperature: Tensor, schedule: Schedule) -> AdamW:
    """AdamW; weight decay on matrices only or on all, and the temperature as a parameter where it is learnt."""
    from spn4cir_core.training.adamw import AdamW

    other_decay = schedule.weight_decay if schedule.decayed == "all" else 0.0
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": schedule.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": other_decay},
    ]
    if schedule.learn_temperature:
        groups.append({"params": [temperature], "weight_decay": other_decay})
    return AdamW(groups, lr=schedule.learning_rate, betas=schedule.adam_betas, eps=schedule.adam_epsilon)


class Precision:
    """The number format of the encoders. Vectors, objective, weights and optimiser are float32 whatever it is.

    float16 scales the loss so that small gradients do not vanish (Micikevicius et al. 2018); a step whose scaled
    gradient overflows is left out and the scale halved.
    """

    LEAST_SCALE = 2.0**-14

    def __init__(self, name: str, device: torch.device) -> None:
        import torch

        self.name, self.device = name, device
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "float16")

    def encoders(self) -> AbstractContextManager[Any]:
        """The context in which encoders run."""
        import torch

        number = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[self.name]
        return torch.autocast(self.device.type, number, enabled=self.name != "float32")

    @property
    def may_overflow(self) -> bool:
        """Whether a gradient that is not finite is one step's bad luck and not the end."""
        return self.scaler.is_enabled() and self.scaler.get_scale() >= self.LEAST_SCALE

    def state(self) -> dict[str, Tensor]:
        """What a resumed training needs; empty unless float16."""
        import torch

        return {name: torch.tensor(float(value), dtype=torch.float64) for name, value in self._state().items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        if self.scaler.is_enabled() and state:
            self.scaler.load_state_dict(
                {name: type(value)(float(state[name])) for name, value in self._state().items()}
            )

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.scaler.state_dict()
        return state
