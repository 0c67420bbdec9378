"""The processes that run one stage together: started by a launcher, one model copy each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Processes:
    """This process's place among them. Rank 0 writes the artefact; the others help and leave nothing behind."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's part of the items: every ``count``-th one; the shares are disjoint and cover them all."""
        return items[self.rank :: self.count]

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.count > 1:
            from torch import distributed

            distributed.barrier()


ALONE = Processes()
