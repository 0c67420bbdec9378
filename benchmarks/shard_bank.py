"""A bank spread over W processes against the same bank in one: equality, time, memory of each (targets.md, P5).

The bank is a float16 file that every process maps; each passes over its own rows. Prints one Markdown row per W.

    python benchmarks/shard_bank.py --rows 400000 --processes 1 2
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import spn4cir_core  # noqa: F401  # isort: skip  (sets OpenMP's waiting policy before torch is imported)

import numpy as np
import torch
from torch import distributed
from torch.nn.functional import normalize

from spn4cir_core.objectives.bank_shard import BankShard
from spn4cir_core.objectives.bank_softmax import bank_softmax_losses

TAU = 0.05
HEADER = ("processes", "rows each", "seconds a step", "speed-up", "mapped MiB each", "own MiB each", "difference")


def write_case(folder: Path, rows: int, queries: int, dim: int) -> None:
    """A bank of random unit vectors, and queries near some of them; each query has ten guarded candidates."""
    torch.manual_seed(0)
    bank_ND = torch.from_numpy(np.lib.format.open_memmap(folder / "bank.npy", "w+", "float16", (rows, dim)))
    for block_CD in bank_ND.split(65536):
        block_CD.copy_(normalize(torch.randn(block_CD.shape), dim=-1))
    targets_B = torch.randint(rows, (queries,))
    guards_BK = (targets_B[:, None] + torch.arange(1, 11)) % rows
    pairs_M2 = torch.stack([torch.arange(queries).repeat_interleave(10), guards_BK.flatten()], dim=1)
    queries_BD = normalize(bank_ND[targets_B].float() + 0.1 * torch.randn(queries, dim), dim=-1)
    for name, value in {"queries": queries_BD, "targets": targets_B, "pairs": pairs_M2}.items():
        np.save(folder / f"{name}.npy", value.numpy())


def resident_mib(kind: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith(kind))


def one_of(rank: int, count: int, folder: Path, runs: int, threads: int) -> None:
    """What each process does; its measurements and its gradient go to files."""
    torch.set_num_threads(threads)
    distributed.init_process_group("gloo", init_method=f"file://{folder / f'meet{count}'}", rank=rank, world_size=count)
    arrays = {path.stem: np.load(path, mmap_mode="c", allow_pickle=False) for path in folder.glob("*.npy")}
    case = {name: torch.from_numpy(array) for name, array in arrays.items()}
    mapped, own = resident_mib("RssFile"), resident_mib("RssAnon")
    shard = BankShard.of(case["bank"], rank, count)
    spent = []
    for _ in range(runs + 1):
        queries_BD = case["queries"].clone().requires_grad_(True)
        distributed.barrier()
        started = time.perf_counter()
        losses_B = bank_softmax_losses(queries_BD, shard, case["targets"], case["pairs"], torch.tensor(TAU))
        losses_B.mean().backward()
        spent.append(time.perf_counter() - started)
    assert queries_BD.grad is not None
    np.savez(folder / f"{count}-{rank}.npz", losses=losses_B.detach().numpy(), gradient=queries_BD.grad.numpy())
    measured = {
        "rows": len(shard.vectors),
        "seconds": statistics.median(spent[1:]),
        "mapped": resident_mib("RssFile") - mapped,
        "own": resident_mib("RssAnon") - own,
    }
    (folder / f"{count}-{rank}.json").write_text(json.dumps(measured), encoding="utf-8")
    distributed.destroy_process_group()


def run(count: int, folder: Path, options: argparse.Namespace) -> tuple[list[dict[str, Any]], float]:
    """Start the processes; what each measured, and the greatest relative difference from one process."""
    same = ["--folder", str(folder), "--runs", str(options.runs), "--threads", str(options.threads)]
    started = [
        subprocess.Popen([sys.executable, __file__, *same, "--rank", str(rank), "--processes", str(count)])
        for rank in range(count)
    ]
    if any(process.wait() for process in started):
        raise SystemExit("a process failed")
    measured = [json.loads((folder / f"{count}-{rank}.json").read_text(encoding="utf-8")) for rank in range(count)]
    alone, differences = np.load(folder / "1-0.npz", allow_pickle=False), []
    for rank in range(count):
        mine = np.load(folder / f"{count}-{rank}.npz", allow_pickle=False)
        differences += [np.linalg.norm(mine[key] - alone[key]) / np.linalg.norm(alone[key]) for key in alone]
    return measured, max(differences)


def main() -> None:
    """Print the table, or be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--dim", type=int, default=640)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="one process is always measured")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank is not None:
        one_of(options.rank, options.processes[0], options.folder, options.runs, options.threads)
        return
    print(f"N = {options.rows:,}, B = {options.queries}, D = {options.dim}, {options.threads} threads a process\n")
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_case(folder, options.rows, options.queries, options.dim)
        alone_s = 0.0
        for count in sorted({1, *options.processes}):
            measured, difference = run(count, folder, options)
            taken, rows = (max(part[key] for part in measured) for key in ("seconds", "rows"))
            mapped, own = (max(part[key] for part in measured) for key in ("mapped", "own"))
            alone_s = alone_s or taken
            cells = (count, f"{rows:,}", f"{taken:.2f}", f"{alone_s / taken:.2f}", f"{mapped:.0f}", f"{own:.0f}")
            print(f"| {' | '.join(map(str, cells))} | {difference:.0e} |", flush=True)


if __name__ == "__main__":
    main()
