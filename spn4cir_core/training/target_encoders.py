"""What becomes of the target encoder in stage 2: frozen with its bank, or slowly following the query encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from spn4cir_core.backbones.base import Network
from spn4cir_core.errors import RecipeError
from spn4cir_core.plugins import Plugin, Room
from spn4cir_core.processes import Processes

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TARGET_ENCODERS = Room(
    "target encoder",
    {
        "frozen": "spn4cir_core.training.target_encoders:FrozenTarget",
        "following": "spn4cir_core.training.target_encoders:FollowingTarget",
    },
)


class TargetEncoder(Plugin):
    """How the target encoder of stage 2 moves."""


class FrozenTarget(TargetEncoder):
    """Not at all, as published. Embedding the bank anew would give the same vectors, so it is never done."""

    plugin_kind: ClassVar[str] = "frozen"


class FollowingTarget(TargetEncoder):
    """After each step ``target = momentum · target + (1 − momentum) · query`` for what the two had in common (MoCo's
    key encoder, He et al. 2020), and every so often the bank is embedded anew.

    Helps where stage 1 was short and the targets themselves should still move. Hurts where the bank teaches the
    shortcut of the text: the targets then follow. Between two refreshes the bank is a little behind.
    """

    plugin_kind: ClassVar[str] = "following"
    momentum: float = Field(default=0.999, gt=0, lt=1)
    refresh_every_epochs: float = Field(default=1.0, gt=0)


class Follower:
    """A target encoder that follows, and the bank it embeds anew; exact under kill and resume.

    Args:
        inputs: (N, …) image inputs of the candidates.
        dtype: of the bank's vectors.

    Raises:
        RecipeError: the network's encoders have nothing that could follow.
    """

    def __init__(
        self,
        settings: FollowingTarget,
        network: Network,
        inputs: np.ndarray,
        dtype: np.dtype,
        every_steps: int,
        device: torch.device,
        processes: Processes,
    ) -> None:
        self.settings, self.network, self.inputs, self.dtype = settings, network, inputs, dtype
        self.every_steps, self.device, self.processes = every_steps, device, processes
        self.pairs = network.target_follows()
        if not self.pairs:
            raise RecipeError(
                f'target kind = "following": {type(network).__name__} has no query encoder that its target encoder '
                'could follow; use "frozen"'
            )
        self._refreshed: list[Tensor] | None = None

    def after(self, step: int) -> np.ndarray | None:
        """Move the target encoder after a step, counted from 1; the new bank where it is due, which needs eval mode."""
        import torch

        with torch.no_grad():
            for target, query in self.pairs:
                target.lerp_(query.detach(), 1 - self.settings.momentum)
        if step % self.every_steps:
            return None
        self._refreshed = [target.detach().clone() for target, _ in self.pairs]
        return self._bank()

    def state(self) -> dict[str, Tensor]:
        """The target encoder at the last refresh; empty before the first one."""
        return {str(number): weight for number, weight in enumerate(self._refreshed or [])}

    def restore(self, state: dict[str, Tensor]) -> np.ndarray | None:
        """Put back what :meth:`state` gave; the bank of that moment."""
        if not state:
            return None
        now = [target.detach().clone() for target, _ in self.pairs]
        self._refreshed = [state[str(number)].to(self.device) for number in range(len(self.pairs))]
        self._set(self._refreshed)
        bank = self._bank()
        self._set(now)
        return bank

    def _bank(self) -> np.ndarray:
        """(N, D) vectors of all candidates; each process embeds its part."""
        import torch

        from spn4cir_core.training.collectives import joined, own_part
        from spn4cir_core.training.embed_candidates import embed_targets

        part = own_part(len(self.inputs), self.processes)
        own = embed_targets(self.network, self.inputs[part.start : part.stop], str(self.device))
        whole = joined(torch.from_numpy(own).to(self.device), len(self.inputs), self.processes)
        bank: np.ndarray = whole.cpu().numpy().astype(self.dtype)
        return bank

    def _set(self, weights: list[Tensor]) -> None:
        import torch

        with torch.no_grad():
            for (target, _), weight in zip(self.pairs, weights, strict=True):
                target.copy_(weight)
