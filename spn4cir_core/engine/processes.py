"""The processes that run one stage together: started by a launcher, one model copy each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from spn4cir_core.errors import LaunchError

Item = TypeVar("Item")
PATIENCE = timedelta(days=30)
"""How long a process waits for the others. A dead one is noticed by the launcher, which then ends them all."""


@dataclass(frozen=True)
class Processes:
    """This process's place among them. Rank 0 writes the artefact; the others help and leave nothing behind."""

    rank: int = 0
    count: int = 1

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Processes]:
        """Join the processes that ``accelerate launch`` or ``torchrun`` started with this one.

        ``torch.distributed`` is ready inside the block: gloo on CPUs, NCCL on GPUs, where each process has a GPU of
        its own as the current one. Without a launcher, or with one process, this is :data:`ALONE` and needs no torch.

        Raises:
            LaunchError: there are more processes on this machine than GPUs.
        """
        if cls.announced() == 1:
            yield ALONE
            return
        import torch
        from accelerate import PartialState

        gpus, here = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        if 0 < gpus < here:
            raise LaunchError(
                f"{here} processes on a machine with {gpus} GPUs; start at most {gpus}, "
                "or set CUDA_VISIBLE_DEVICES to nothing to compute on the CPU"
            )
        state = PartialState(cpu=not gpus, timeout=PATIENCE)
        yield cls(state.process_index, state.num_processes)
        state.destroy_process_group()  # not after an error: the others may be gone, and this would wait for them

    @staticmethod
    def announced() -> int:
        """How many processes the launcher has started, whether they have met yet or not."""
        return int(os.environ.get("WORLD_SIZE", "1"))

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's part of the items: every ``count``-th one; the shares are disjoint and cover them all."""
        return items[self.rank :: self.count]

    def wait(self) -> None:
        """Go on when all processes have come here."""
        self.gather("")

    def gather(self, text: str) -> list[str]:
        """The text of every process, by rank; all must call this, and all get the same list."""
        if self.count == 1:
            return [text]
        import torch
        from torch import distributed

        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        data = torch.frombuffer(bytearray(text.encode()) or bytearray(1), dtype=torch.uint8)
        size = torch.tensor([len(text.encode())], device=device)
        sizes = [torch.empty_like(size) for _ in range(self.count)]
        distributed.all_gather(sizes, size)
        padded = torch.zeros(max(1, *(int(each) for each in sizes)), dtype=torch.uint8, device=device)
        padded[: len(data)] = data.to(device)
        texts = [torch.empty_like(padded) for _ in range(self.count)]
        distributed.all_gather(texts, padded)
        return [bytes(row[: int(each)].tolist()).decode() for row, each in zip(texts, sizes, strict=True)]


ALONE = Processes()
