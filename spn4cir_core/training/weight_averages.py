"""Averages of the weights along a training, which are validated and stored in place of the last ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.engine.plugins import Plugin

if TYPE_CHECKING:
    from torch import Tensor, nn


class WeightAverage(Plugin):
    """Which average: :meth:`share` says how much the weights of each step count in it."""

    @abstractmethod
    def share(self, step: int, steps: int) -> float:
        """Share of the weights after ``step`` of ``steps`` steps (from 1) in the new average; 0 leaves it as it is.

        The first share above 0 counts as 1.
        """

    def track(self, parameters: Sequence[nn.Parameter], steps: int) -> AveragedWeights | None:
        """The average of these parameters, or None where there is none."""
        return AveragedWeights(self, parameters, steps)


class NoAverage(WeightAverage):
    """The last weights as they are."""

    plugin_kind: ClassVar[str] = "none"

    @override
    def share(self, step: int, steps: int) -> float:
        return 1.0

    def track(self, parameters: Sequence[nn.Parameter], steps: int) -> AveragedWeights | None:
        """None: nothing is averaged."""
        return None


class Moving(WeightAverage):
    """Exponential moving average (Polyak & Juditsky 1992).

    Helps small batches and high learning rates. The decay grows with the steps, ``(1 + t) / (10 + t)`` at most,
    so that a short training is not weighed down by its start.
    """

    plugin_kind: ClassVar[str] = "moving"
    decay: float = Field(default=0.999, gt=0, lt=1)

    @override
    def share(self, step: int, steps: int) -> float:
        return 1 - min(self.decay, (1 + step) / (10 + step))


class LastCheckpoints(WeightAverage):
    """The mean of the weights at some last moments of one training (checkpoint averaging, a soup of one run).

    Costs one copy of the weights whatever their number. Helps where the last steps still jump about; hurts where the
    learning rate has fallen to nothing anyway, as the earlier moments are then simply less trained.
    """

    plugin_kind: ClassVar[str] = "last"
    checkpoints: int = Field(default=5, ge=2)
    every_steps: int = Field(default=50, ge=1)
    """Distance between two of them; the last one is the end of the training."""

    @override
    def share(self, step: int, steps: int) -> float:
        left, apart = divmod(steps - step, self.every_steps)
        if apart or left >= self.checkpoints:
            return 0.0
        first = min(self.checkpoints - 1, (steps - 1) // self.every_steps)
        return 1 / (first - left + 1)


class AveragedWeights:
    """An average under way; every method is exact under kill and resume."""

    def __init__(self, average: WeightAverage, parameters: Sequence[nn.Parameter], steps: int) -> None:
        self.average, self.parameters, self.steps = average, parameters, steps
        self._mean: list[Tensor] | None = None

    def after(self, step: int) -> None:
        """Take in the weights after that step, counted from 1."""
        share = self.average.share(step, self.steps)
        if share == 0:
            return
        if self._mean is None:
            self._mean = [parameter.detach().clone() for parameter in self.parameters]
            return
        for mean, parameter in zip(self._mean, self.parameters, strict=True):
            mean.lerp_(parameter.detach(), share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block the network has the averaged weights, where there are any yet."""
        own = [parameter.detach().clone() for parameter in self.parameters]
        self.apply()
        try:
            yield
        finally:
            _copy(own, self.parameters)

    def apply(self) -> None:
        """Give the network the averaged weights for good."""
        if self._mean is not None:
            _copy(self._mean, self.parameters)

    def state(self) -> dict[str, Tensor]:
        """What a resumed training needs."""
        return {str(number): mean for number, mean in enumerate(self._mean or [])}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        if state:
            numbered = enumerate(self.parameters)
            self._mean = [state[str(number)].to(parameter.device) for number, parameter in numbered]


def _copy(values: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> None:
    import torch

    with torch.no_grad():
        for value, parameter in zip(values, parameters, strict=True):
            parameter.copy_(value)
