"""Loss and gradient over a frozen bank, against the two matrix products they need (targets.md, P4).

Prints one Markdown row per bank: medians of runs that take turns, peak extra memory, gradient error. A bank above
``--mapped-from`` rows is a memory-mapped float16 file; its conversion counts for us, not for
the products.

    python benchmarks/bank_softmax.py --rows 46000 400000 2000000
    python benchmarks/bank_softmax.py --rows 15536 --dim 256 --tokens 32
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import spn4cir_core  # noqa: F401  # isort: skip  (sets OpenMP's waiting policy before torch is imported)

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from spn4cir_core.objectives.bank_softmax import BLOCK_ROWS, bank_softmax_losses

TAU = 0.05
NONE = torch.empty(0, 2, dtype=torch.int64)
EXACT_QUERIES = 32
HEADER = ("rows", "bank", "two products s", "streamed s", "ratio", "dense autograd s", "ratio", "extra MiB", "error")


def blocks(bank: Tensor) -> Iterator[Tensor]:
    tokens = bank.shape[1] if bank.ndim == 3 else 1
    for block in bank.split(max(1, BLOCK_ROWS // tokens)):
        yield block.float().flatten(0, -2)


def two_products(queries_BD: Tensor, bank: Tensor) -> float:
    """Seconds of the products alone: logits, and weights times vectors; converting and reading are left out."""
    mean_BD, spent = torch.zeros_like(queries_BD), 0.0
    buffer = torch.empty(len(queries_BD), BLOCK_ROWS)
    for block_VD in blocks(bank):
        block_VD.sum()  # a mapped block is in memory before the clock starts
        started = time.perf_counter()
        logits_BV = buffer[:, : len(block_VD)]
        torch.mm(queries_BD, block_VD.T, out=logits_BV)
        mean_BD.addmm_(logits_BV, block_VD)
        spent += time.perf_counter() - started
    return spent


def streamed(queries_BD: Tensor, bank: Tensor, targets_B: Tensor) -> Tensor:
    leaf_BD = queries_BD.clone().requires_grad_(True)
    bank_softmax_losses(leaf_BD, bank, targets_B, NONE, torch.tensor(TAU)).sum().backward()
    assert leaf_BD.grad is not None
    return leaf_BD.grad


def dense(queries_BD: Tensor, bank: Tensor, targets_B: Tensor) -> None:
    leaf_BD = queries_BD.clone().requires_grad_(True)
    cross_entropy(leaf_BD @ bank.T / TAU, targets_B, reduction="sum").backward()


def exact_gradient(queries_BD: Tensor, bank: Tensor, targets_B: Tensor) -> Tensor:
    """By the formula in float64, in two passes: the log-sum-exp, then the mean of the nearest tokens."""
    queries_BD = queries_BD.double()
    tokens = bank.shape[1] if bank.ndim == 3 else 1
    total_B = queries_BD.new_full((len(queries_BD),), -torch.inf)
    for block_VD in blocks(bank):
        best_BC = (queries_BD @ block_VD.double().T / TAU).view(len(queries_BD), -1, tokens).amax(dim=2)
        total_B = torch.logaddexp(total_B, best_BC.logsumexp(dim=1))
    mean_BD = torch.zeros_like(queries_BD)
    for block_VD in blocks(bank):
        logits_BCT = (queries_BD @ block_VD.double().T / TAU).view(len(queries_BD), -1, tokens)
        kept_BCT = logits_BCT.masked_fill(logits_BCT < logits_BCT.amax(dim=2, keepdim=True), -torch.inf)
        mean_BD += (kept_BCT - total_B[:, None, None]).exp().flatten(1) @ block_VD.double()
    targets_BTD = bank[targets_B].double().view(len(queries_BD), tokens, -1)
    nearest_B = (targets_BTD @ queries_BD[:, :, None]).squeeze(2).argmax(dim=1)
    return (mean_BD - targets_BTD[torch.arange(len(targets_B)), nearest_B]) / TAU


def own_bytes() -> int:
    """Memory of this process that no file backs."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in status if line.startswith("RssAnon"))


def peak_extra_mib(work: Callable[[], object]) -> float:
    """Growth of the process's own memory while ``work`` runs, sampled every millisecond."""
    gc.collect()
    start = peak = own_bytes()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.001):
            peak = max(peak, own_bytes())

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


def make_bank(shape: tuple[int, ...], mapped: Path | None) -> Tensor:
    """Random unit vectors: float32 in memory, or float16 in a mapped file."""
    torch.manual_seed(0)
    if mapped is None:
        bank = torch.empty(shape)
    else:
        bank = torch.from_numpy(np.lib.format.open_memmap(mapped, "w+", "float16", shape))
    for block in bank.split(65536):
        block.copy_(normalize(torch.randn(block.shape), dim=-1))
    return bank if mapped is None else torch.from_numpy(np.load(mapped, mmap_mode="c", allow_pickle=False))


def row_of(bank: Tensor, queries: int, runs: int, with_dense: bool) -> tuple[str, ...]:
    """Measure one bank: a row of the table."""
    targets_B = torch.randint(len(bank), (queries,))
    positives = bank[targets_B].float().view(queries, -1, bank.shape[-1])[:, 0]
    queries_BD = normalize(positives + 0.1 * torch.randn(queries, bank.shape[-1]), dim=-1)
    case = (queries_BD, bank, targets_B)
    extra = peak_extra_mib(lambda: streamed(*case))
    products, ours, theirs = [], [], []
    for _ in range(runs):
        products.append(two_products(queries_BD, bank))
        ours.append(seconds(lambda: streamed(*case)))
        theirs.append(seconds(lambda: dense(*case)) if with_dense else float("nan"))
    exact = exact_gradient(queries_BD[:EXACT_QUERIES], bank, targets_B[:EXACT_QUERIES])
    error = ((streamed(*case)[:EXACT_QUERIES].double() - exact).norm() / exact.norm()).item()
    bare, our, their = map(statistics.median, (products, ours, theirs))
    ratios = sorted(mine / two for mine, two in zip(ours, products, strict=True))
    kind = f"{bank.dtype}".removeprefix("torch.") + (f", {bank.shape[1]} tokens" if bank.ndim == 3 else "")
    beside = (f"{their:.2f}", f"{their / bare:.2f}") if with_dense else ("", "")
    ratio = f"**{statistics.median(ratios):.2f}** ({ratios[0]:.2f}–{ratios[-1]:.2f})"
    return f"{len(bank):,}", kind, f"{bare:.2f}", f"{our:.2f}", ratio, *beside, f"{extra:.0f}", f"{error:.0e}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[46_000, 400_000])
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--dim", type=int, default=640)
    parser.add_argument("--tokens", type=int, default=1, help="vectors of each candidate")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--mapped-from", type=int, default=1_000_000, help="rows from which on the bank is a file")
    parser.add_argument("--dense-up-to", type=int, default=100_000, help="rows; dense autograd needs B x N x 12 bytes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"B = {options.queries}, D = {options.dim}, {options.threads} threads, medians of {options.runs} runs\n")
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}")
    for rows in options.rows:
        shape = (rows, options.dim) if options.tokens == 1 else (rows, options.tokens, options.dim)
        with tempfile.TemporaryDirectory() as folder:
            bank = make_bank(shape, Path(folder) / "bank.npy" if rows >= options.mapped_from else None)
            with_dense = bank.ndim == 2 and bank.dtype == torch.float32 and rows <= options.dense_up_to
            print(f"| {' | '.join(row_of(bank, options.queries, options.runs, with_dense))} |", flush=True)


if __name__ == "__main__":
    main()
