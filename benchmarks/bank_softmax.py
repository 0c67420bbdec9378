"""Loss and gradient over a frozen bank, against the two matrix products they need and against dense autograd.

Prints one Markdown row per bank size: medians of several runs side by side, peak extra memory, gradient error.
Usage: python benchmarks/bank_softmax.py [--rows 46000 400000] [--queries 256] [--dim 640] [--runs 5]
"""

from __future__ import annotations

import argparse
import gc
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from spn4cir_core.objectives.bank_softmax import BLOCK_ROWS, bank_softmax_losses

TAU = 0.05
NONE = torch.empty(0, 2, dtype=torch.int64)


def two_products(queries_BD: Tensor, bank_ND: Tensor, targets_B: Tensor) -> None:
    """The products alone, block by block: logits, and weights times rows."""
    mean_BD = torch.zeros_like(queries_BD)
    for block_CD in bank_ND.split(BLOCK_ROWS):
        mean_BD.addmm_(queries_BD @ block_CD.T, block_CD)


def streamed(queries_BD: Tensor, bank_ND: Tensor, targets_B: Tensor) -> Tensor:
    leaf_BD = queries_BD.clone().requires_grad_(True)
    bank_softmax_losses(leaf_BD, bank_ND, targets_B, NONE, torch.tensor(TAU)).mean().backward()
    assert leaf_BD.grad is not None
    return leaf_BD.grad


def dense(queries_BD: Tensor, bank_ND: Tensor, targets_B: Tensor) -> Tensor:
    leaf_BD = queries_BD.clone().requires_grad_(True)
    cross_entropy(leaf_BD @ bank_ND.T / TAU, targets_B).backward()
    assert leaf_BD.grad is not None
    return leaf_BD.grad


def exact_gradient(queries_BD: Tensor, bank_ND: Tensor, targets_B: Tensor) -> Tensor:
    """By the formula, in float64, a few queries at a time."""
    grads = []
    for query_BD, target_B in zip(queries_BD.split(8), targets_B.split(8), strict=True):
        logits = torch.cat([query_BD.double() @ block.double().T for block in bank_ND.split(65536)], dim=1) / TAU
        weights = torch.softmax(logits, dim=1)
        mean = torch.zeros_like(query_BD, dtype=torch.float64)
        for number, block in enumerate(bank_ND.split(65536)):
            mean += weights[:, number * 65536 : number * 65536 + len(block)] @ block.double()
        grads.append((mean - bank_ND[target_B].double()) / TAU / len(queries_BD))
    return torch.cat(grads)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def peak_extra_mib(work: Callable[[], object]) -> float:
    """Growth of the resident set while ``work`` runs, sampled every millisecond."""
    gc.collect()
    start = peak = resident_bytes()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.001):
            peak = max(peak, resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    done.set()
    watcher.join()
    return (peak - start) / 2**20


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def row_of(rows: int, queries: int, dim: int, runs: int, with_dense: bool) -> str:
    """Measure one bank size: a row of the table."""
    torch.manual_seed(0)
    bank_ND = torch.empty(rows, dim)
    for block in bank_ND.split(65536):
        block.copy_(normalize(torch.randn(block.shape), dim=-1))
    targets_B = torch.randint(rows, (queries,))
    case = (normalize(bank_ND[targets_B] + 0.1 * torch.randn(queries, dim), dim=-1), bank_ND, targets_B)
    extra = peak_extra_mib(lambda: streamed(*case))
    contestants = [two_products, streamed, *([dense] if with_dense else [])]
    times: list[list[float]] = [[] for _ in contestants]
    for _ in range(runs):
        for contestant, seen in zip(contestants, times, strict=True):
            seen.append(seconds(lambda work=contestant: work(*case)))  # type: ignore[misc]
    bare, ours, theirs = [*map(statistics.median, times), float("nan")][:3]
    exact = exact_gradient(*case)
    error = ((streamed(*case).double() - exact).norm() / exact.norm()).item()
    return (
        f"| {rows:,} | {bare:.3f} | {ours:.3f} | {ours / bare:.2f} | {theirs:.3f} | {theirs / bare:.2f} "
        f"| {extra:.1f} | {error:.1e} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[46_000, 400_000])
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--dim", type=int, default=640)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-dense", action="store_true", help="skip dense autograd, which needs B x N x 12 bytes")
    chosen = parser.parse_args()
    print(f"B = {chosen.queries}, D = {chosen.dim}, {torch.get_num_threads()} threads, medians of {chosen.runs} runs\n")
    print("| rows | two products s | streamed s | ratio | dense autograd s | ratio | extra MiB | gradient error |")
    print("|---|---|---|---|---|---|---|---|")
    for rows in chosen.rows:
        print(row_of(rows, chosen.queries, chosen.dim, chosen.runs, not chosen.no_dense), flush=True)


if __name__ == "__main__":
    main()
