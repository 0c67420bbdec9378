"""Vectors of a batch that does not fit at once: the objective sees them all, the encoders a chunk at a time.

GradCache (Gao et al. 2021, https://arxiv.org/abs/2101.06983): embed chunk by chunk without keeping activations; take
the objective's gradient with respect to the vectors; embed each chunk again, with the same random numbers, and send
its vectors' gradient through. The gradient of the weights is that of the plain batch, at the price of a second
forward pass. Only rows that do not look at each other may be chunked: no batch normalisation in training mode.

The same split serves several processes: each embeds its own part, and all see the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spn4cir_core.engine.processes import Processes
from spn4cir_core.training.collectives import joined, own_part

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Encode:
    """How to embed ``rows`` things: ``some`` maps a run of their positions to their vectors."""

    rows: int
    some: Callable[[range], Tensor]


@dataclass(frozen=True)
class _Chunk:
    encode: Encode
    positions: range
    leaf: Tensor
    """Vectors of the whole batch, whose gradient the objective fills in."""
    with_graph: Tensor | None
    """This chunk's vectors with their graph, where the part is one chunk of several processes' batch; else they are
    computed again."""
    random_state: list[Tensor]


class GradientCache:
    """The vectors of one step.

    Args:
        chunk_size: rows that are embedded at once; None: this process's whole part, once, its activations kept.
    """

    def __init__(self, processes: Processes, device: torch.device, chunk_size: int | None) -> None:
        self.processes, self.device, self.chunk_size = processes, device, chunk_size
        self._chunks: list[_Chunk] = []

    def vectors(self, encode: Encode) -> Tensor:
        """(rows, …) vectors for the objective; :meth:`backward` takes the gradient they get further.

        A batch that is one chunk of one process has its graph still, and the objective's own backward passes it.
        """
        import torch

        spans = self._spans(encode)
        outputs, states = [], []
        with torch.set_grad_enabled(len(spans) == 1):
            for span in spans:
                states.append(_random_state(self.device))
                outputs.append(encode.some(span))
        if len(spans) == 1 and self.processes.count == 1 and outputs[0].requires_grad:
            return outputs[0]
        leaf = self._joined(outputs, encode).requires_grad_(True)
        with_graph = outputs[0] if len(spans) == 1 else None
        for span, state in zip(spans, states, strict=True):
            self._chunks.append(_Chunk(encode, span, leaf, with_graph, state))
        return leaf

    def constants(self, encode: Encode) -> Tensor:
        """(rows, …) vectors that take no gradient."""
        import torch

        with torch.no_grad():
            return self._joined([encode.some(span) for span in self._spans(encode)], encode)

    def _spans(self, encode: Encode) -> list[range]:
        part = own_part(encode.rows, self.processes)
        size = self.chunk_size or max(1, len(part))
        return [part[start : start + size] for start in range(0, len(part), size)]

    def _joined(self, outputs: list[Tensor], encode: Encode) -> Tensor:
        import torch

        if not outputs:  # fewer rows than processes: this one embeds none, but must know the shape
            with torch.no_grad():
                outputs = [encode.some(range(1))]
        return joined(torch.cat([output.detach() for output in outputs]), encode.rows, self.processes)

    def backward(self) -> None:
        """Send the gradient of the vectors, which the objective's backward has left in them, through the encoders."""
        import torch

        outputs: list[Tensor] = []
        gradients: list[Tensor] = []
        for chunk in self._chunks:
            if chunk.leaf.grad is None:
                continue
            gradient = chunk.leaf.grad[chunk.positions.start : chunk.positions.stop]
            if chunk.with_graph is None:
                with _replayed(chunk.random_state, self.device), torch.enable_grad():
                    again = chunk.encode.some(chunk.positions)
                if again.requires_grad:
                    torch.autograd.backward(again, gradient)
            elif chunk.with_graph.requires_grad:
                outputs.append(chunk.with_graph)
                gradients.append(gradient)
        if outputs:
            torch.autograd.backward(outputs, gradients)
        self._chunks.clear()


def _random_state(device: torch.device) -> list[Tensor]:
    import torch

    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


@contextmanager
def _replayed(state: list[Tensor], device: torch.device) -> Iterator[None]:
    """Draw the random numbers of that state inside the block, and go on after it as if it had not been."""
    before = _random_state(device)
    _set_random_state(state, device)
    try:
        yield
    finally:
        _set_random_state(before, device)


def _set_random_state(state: list[Tensor], device: torch.device) -> None:
    import torch

    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)
