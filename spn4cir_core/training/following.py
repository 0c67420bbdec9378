"""A target encoder that follows the query encoder, and the bank that it embeds anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spn4cir_core.backbones.base import Network
from spn4cir_core.engine.processes import Processes
from spn4cir_core.errors import RecipeError
from spn4cir_core.training.settings import FollowingTarget

if TYPE_CHECKING:
    import torch
    from torch import Tensor


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
