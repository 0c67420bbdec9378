"""Where stage 2 keeps the bank: on the accelerator where it fits, sharded over the processes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spn4cir_core.engine.processes import ALONE, Processes

if TYPE_CHECKING:
    import torch

    from spn4cir_core.objectives.bank_shard import BankShard


def place_bank(
    bank: torch.Tensor, device: torch.device, processes: Processes = ALONE
) -> tuple[torch.Tensor, BankShard | None]:
    """The bank, and this process's share of it where there are several.

    What is passed over at each step (the bank, or the share) goes on a GPU that has room to spare for it, else it
    stays where it is: memory-mapped, streamed block by block.
    """
    from spn4cir_core.objectives.bank_shard import BankShard

    if processes.count == 1:
        return _where_it_fits(bank, device), None
    shard = BankShard.of(bank, processes.rank, processes.count)
    return bank, replace(shard, vectors=_where_it_fits(shard.vectors, device))


def _where_it_fits(vectors: torch.Tensor, device: torch.device) -> torch.Tensor:
    import torch

    if device.type != "cuda":
        return vectors
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return vectors.to(device) if vectors.numel() * vectors.element_size() < free_bytes // 2 else vectors
