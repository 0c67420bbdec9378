"""AdamW (Loshchilov & Hutter 2019): torch's fused kernel, without torch's optimizer class.

That class imports torch's compiler when it is made, which takes as long as torch itself and 100 MB. The kernel passes
over each tensor once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw


class AdamW:
    """Steps of the parameters in several groups.

    Attributes:
        param_groups: each with ``params``, ``weight_decay``, ``lr``, ``betas`` and ``eps``; ``lr`` may be set between
            steps. The name is torch's: its gradient scaler reads it.
    """

    def __init__(
        self, groups: Sequence[Mapping[str, Any]], *, lr: float, betas: tuple[float, float], eps: float
    ) -> None:
        self.param_groups: list[dict[str, Any]] = [{"lr": lr, "betas": betas, "eps": eps, **group} for group in groups]
        self._moments: dict[int, dict[str, Tensor]] = {}

    @property
    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Change the parameters that have a gradient."""
        first = 0
        for group in self.param_groups:
            numbers = range(first, first + len(group["params"]))
            first = numbers.stop
            stepped = [
                (number, one) for number, one in zip(numbers, group["params"], strict=True) if one.grad is not None
            ]
            if not stepped:
                continue
            self._moments |= {number: _start(one) for number, one in stepped if number not in self._moments}
            moments = [self._moments[number] for number, _ in stepped]
            adamw(
                [one for _, one in stepped],
                [one.grad for _, one in stepped],
                [moment["exp_avg"] for moment in moments],
                [moment["exp_avg_sq"] for moment in moments],
                [],
                [moment["step"] for moment in moments],
                fused=True,
                amsgrad=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
            )

    def state(self) -> dict[str, Tensor]:
        """What a resumed training needs: ``<number of the parameter>/<moment>``."""
        numbered = self._moments.items()
        return {f"{number}/{name}": tensor for number, moments in numbered for name, tensor in moments.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        parameters = self._parameters
        self._moments = {}
        for key, tensor in state.items():
            number, _, name = key.partition("/")
            self._moments.setdefault(int(number), {})[name] = tensor.to(parameters[int(number)].device)


def _start(parameter: Tensor) -> dict[str, Tensor]:
    return {
        "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
        "exp_avg": torch.zeros_like(parameter),
        "exp_avg_sq": torch.zeros_like(parameter),
    }
