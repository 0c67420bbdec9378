"""What the processes of one training exchange. Every function is called by all of them, in the same order.

The processes hold equal copies of the weights. Each embeds its own part of the batch; the vectors are summed up into
one batch that all see; each sends the gradient of its own part through its encoders; and the gradients of the weights
are summed. So a step is that of one process, up to rounding, whatever the objective.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from spn4cir_core.engine.processes import Processes

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

BUCKET_NUMBERS = 8_000_000


def own_part(rows: int, processes: Processes) -> range:
    """The positions of a batch that this process embeds: one of ``count`` runs of nearly equal length."""
    return range(rows * processes.rank // processes.count, rows * (processes.rank + 1) // processes.count)


def joined(own: Tensor, rows: int, processes: Processes) -> Tensor:
    """(rows, …) tensor of all processes' parts, each at its own positions; no gradients."""
    if processes.count == 1:
        return own
    from torch import distributed

    part = own_part(rows, processes)
    whole = own.new_zeros(rows, *own.shape[1:])
    whole[part.start : part.stop] = own[: len(part)]
    distributed.all_reduce(whole)
    return whole


def sum_gradients(parameters: Sequence[nn.Parameter | Tensor], processes: Processes) -> None:
    """Sum every parameter's gradient over the processes; one that has none in any of them keeps none."""
    if processes.count == 1:
        return
    import torch
    from torch import distributed

    for bucket in _buckets(parameters):
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
        has = torch.tensor([float(p.grad is not None) for p in bucket], device=bucket[0].device)
        flat = torch.cat([has, *(part.flatten() for part in parts)])
        distributed.all_reduce(flat)
        start = len(bucket)
        for number, parameter in enumerate(bucket):
            end = start + parameter.numel()
            if flat[number] > 0:
                parameter.grad = flat[start:end].view_as(parameter).to(parameter.dtype)
            start = end


def mean_gradient(scalar: Tensor, processes: Processes) -> None:
    """Give the processes, each of which has computed the whole gradient of a scalar, the very same one."""
    if processes.count > 1 and scalar.grad is not None:
        from torch import distributed

        distributed.all_reduce(scalar.grad)
        scalar.grad /= processes.count


def any_of(flag: bool, processes: Processes, device: torch.device) -> bool:
    """Whether the flag is set in any of the processes."""
    if processes.count == 1:
        return flag
    import torch
    from torch import distributed

    flags = torch.tensor([float(flag)], device=device)
    distributed.all_reduce(flags)
    return bool(flags.item())


def from_first(numbers: Sequence[float], processes: Processes, device: torch.device) -> list[float]:
    """The first process's numbers, in all of them; as many must be given by each."""
    if processes.count == 1:
        return list(numbers)
    import torch
    from torch import distributed

    tensor = torch.tensor(list(numbers), dtype=torch.float64, device=device)
    distributed.broadcast(tensor, 0)
    return [float(number) for number in tensor]


def _buckets(parameters: Sequence[nn.Parameter | Tensor]) -> Iterator[list[nn.Parameter | Tensor]]:
    bucket: list[nn.Parameter | Tensor] = []
    for parameter in parameters:
        if bucket and sum(p.numel() for p in bucket) + parameter.numel() > BUCKET_NUMBERS:
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket
