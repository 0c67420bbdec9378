"""Processes that are threads of a test, and meet as real ones do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from spn4cir_core.engine.processes import Processes

Result = TypeVar("Result")
PATIENCE_S = 30


@dataclass
class Meeting:
    """Where they leave their texts."""

    count: int
    texts: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.count)


@dataclass(frozen=True)
class InThread(Processes):
    meeting: Meeting = field(default_factory=lambda: Meeting(1))

    def gather(self, text: str) -> list[str]:
        self.meeting.texts[self.rank] = text
        self.meeting.barrier.wait(PATIENCE_S)
        texts = [self.meeting.texts[rank] for rank in range(self.count)]
        self.meeting.barrier.wait(PATIENCE_S)
        return texts


def together(count: int, work: Callable[[Processes], Result]) -> list[Result]:
    """What ``work`` gives in each of so many processes; the first error breaks up the meeting and is raised."""
    meeting = Meeting(count)

    def one(rank: int) -> Result:
        try:
            return work(InThread(rank, count, meeting))
        except BaseException:
            meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(one, rank) for rank in range(count)]
    errors = [error for future in futures if (error := future.exception())]
    for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
        raise error
    return [future.result() for future in futures]
