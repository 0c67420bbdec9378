"""Targets by a slow average of the network, for objectives that compare them with targets of past steps."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from spn4cir_core.backbones.base import Network
from spn4cir_core.training.checkpoints import as_module

if TYPE_CHECKING:
    from torch import Tensor


class MomentumTargets:
    """MoCo's key encoder (He et al. 2020): after each step ``copy = momentum · copy + (1 − momentum) · network``.

    Made while the network has its starting weights and knows what it freezes; exact under kill and resume. Costs one
    more copy of the network, and no backward pass through targets.

    Attributes:
        network: the copy, in eval mode, without gradients.
    """

    def __init__(self, network: Network, momentum: float) -> None:
        self.momentum = momentum
        self.network = copy.deepcopy(network)
        module = as_module(self.network)
        trained = {name: own for name, own in as_module(network).named_parameters() if own.requires_grad}
        self._pairs = {name: (module.get_parameter(name), own) for name, own in trained.items()}
        module.eval().requires_grad_(False)

    def after_step(self) -> None:
        """Follow the network by one step."""
        import torch

        with torch.no_grad():
            for average, own in self._pairs.values():
                average.lerp_(own, 1 - self.momentum)

    def state(self) -> dict[str, Tensor]:
        """What a resumed training needs."""
        return {name: average for name, (average, _) in self._pairs.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Put back what :meth:`state` gave, if anything."""
        import torch

        with torch.no_grad():
            for name, average in state.items():
                self._pairs[name][0].copy_(average)
