"""A bank spread over processes: each process holds some of the rows, and the sums are added up."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class BankShard:
    """The rows of the bank that this process holds.

    Methods that add up over the processes must be called by all of them together, with equal arguments; each process
    gets the same result.
    """

    first_row: int
    """Row of the whole bank that the first of ``vectors`` is."""
    vectors: Tensor
    """(R, D) or (R, T, D) rows, any float type and device, also memory-mapped."""
    group: distributed.ProcessGroup | None = None
    """None is the group of all processes."""

    @classmethod
    def of(cls, bank: Tensor, rank: int, count: int, group: distributed.ProcessGroup | None = None) -> BankShard:
        """The part of the ``rank``-th of ``count`` processes. A view: other rows of a memory-mapped bank are not read.

        Parts differ by one row at most and cover the bank.
        """
        first, end = (len(bank) * part // count for part in (rank, rank + 1))
        return cls(first, bank[first:end], group)

    def holds(self, bank_rows: Tensor) -> Tensor:
        """(B,) bool for (B,) rows of the whole bank: whether this process has the row."""
        return (bank_rows >= self.first_row) & (bank_rows < self.first_row + len(self.vectors))

    def rows(self, bank_rows_B: Tensor, like: Tensor) -> Tensor:
        """(B, D) or (B, T, D) rows of the whole bank, from all processes, on ``like``'s device in its float type."""
        held_B = self.holds(bank_rows_B)
        rows = like.new_zeros(len(bank_rows_B), *self.vectors.shape[1:])
        own = self.vectors[(bank_rows_B[held_B] - self.first_row).to(self.vectors.device)]
        rows[held_B] = own.to(like.device, like.dtype)
        return self.total(rows)

    def total(self, values: Tensor) -> Tensor:
        """Sum over the processes, of the shape of ``values``, which are overwritten."""
        distributed.all_reduce(values, distributed.ReduceOp.SUM, group=self.group)
        return values

    def side_by_side(self, values_BK: Tensor) -> Tensor:
        """(B, S) of all processes' (B, K) values, whose K may differ, in the order of their ranks."""
        rank = distributed.get_rank(self.group)
        widths = values_BK.new_zeros(distributed.get_world_size(self.group), dtype=torch.int64)
        widths[rank] = values_BK.shape[1]
        self.total(widths)
        parts = [values_BK.new_zeros(len(values_BK), width) for width in widths.tolist()]
        parts[rank] = values_BK
        return self.total(torch.cat(parts, dim=1))

    def greatest(self, values: Tensor) -> Tensor:
        """Maximum over the processes, of the shape of ``values``, which are not changed."""
        values = values.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(values, distributed.ReduceOp.MAX, group=self.group)
        return values
