"""One of several processes that hold a bank together: its losses, gradients and hardest rows go to a file.

Usage: sharded_bank_process.py RANK COUNT FOLDER; the folder holds the case and is where the processes meet.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import distributed

from spn4cir_core.objectives.bank_shard import BankShard
from spn4cir_core.objectives.bank_softmax import bank_softmax_losses
from spn4cir_core.objectives.hard_rows import hard_rows


def main() -> None:
    rank, count, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=count)
    for name in sys.argv[4:]:
        case = {path.stem: np.load(path, mmap_mode="c") for path in sorted((folder / name).glob("*.npy"))}
        bank, queries, targets, pairs = (torch.from_numpy(case[key]) for key in ("bank", "queries", "targets", "pairs"))
        queries.requires_grad_(True)
        tau = torch.tensor(0.05, requires_grad=True)
        shard = BankShard.of(bank, rank, count)
        losses = bank_softmax_losses(queries, shard, targets, pairs, tau)
        (losses * torch.linspace(1, 2, len(losses))).sum().backward()
        assert queries.grad is not None and tau.grad is not None
        targets_B2 = torch.stack([torch.arange(len(targets)), targets], dim=1)
        hardest, live = hard_rows(queries.detach(), shard, 7, torch.cat([pairs, targets_B2]), block_rows=50)
        result = {"losses": losses.detach(), "gradient": queries.grad, "temperature": tau.grad}
        result["hardest"] = hardest.masked_fill(~live, -1)
        np.savez(
            folder / f"{name}-{rank}.npz", rows=len(shard.vectors), **{key: v.numpy() for key, v in result.items()}
        )
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
