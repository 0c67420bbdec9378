"""What a batch of 2,048 needs, at once and in chunks of 64, beside a batch of 64 (built-in backbone, random pictures).

Each row is a process of its own, whose peak memory above its start is the network's activations and gradients. Prints
one Markdown table; the error is that of the gradient against the plain batch of the same size.

    python benchmarks/gradient_cache.py --batch 2048 --chunk 64
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import spn4cir_core  # noqa: F401  # isort: skip  (sets OpenMP's waiting policy before torch is imported)

import torch

from spn4cir_core.backbones.small.settings import Small
from spn4cir_core.engine.processes import ALONE
from spn4cir_core.training.gradient_cache import Encode, GradientCache

WORDS = ["red", "blue", "green", "circle", "square", "star", "left", "right"]


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(batch: int, chunk: int | None, gradients: Path) -> None:
    torch.set_num_threads(1)
    network = Small(dim=128).build([" ".join(WORDS)], seed=0)
    generator = torch.Generator().manual_seed(0)
    size = batch, 3, 48, 48
    references, targets = (torch.randint(256, size, dtype=torch.uint8, generator=generator) for _ in range(2))
    tokens = network.tokenize([f"{WORDS[row % 8]} {WORDS[row // 8 % 8]}" for row in range(batch)])
    before, started = peak_mib(), time.perf_counter()
    cache = GradientCache(ALONE, torch.device("cpu"), chunk)
    rows = lambda span: slice(span.start, span.stop)  # noqa: E731
    queries = cache.vectors(
        Encode(batch, lambda span: network.encode_query(references[rows(span)], tokens[rows(span)]))
    )
    vectors_BD = cache.vectors(Encode(batch, lambda span: network.encode_target(targets[rows(span)])))
    torch.nn.functional.cross_entropy(queries @ vectors_BD.T / 0.05, torch.arange(batch)).backward()
    cache.backward()
    seconds = time.perf_counter() - started
    flat = torch.cat([parameter.grad.flatten() for parameter in network.parameters() if parameter.grad is not None])
    error = float((flat - torch.load(gradients, weights_only=True)).norm() / flat.norm()) if chunk else 0.0
    torch.save(flat, gradients)
    memory = peak_mib() - before
    print(f"| {batch:,} | {chunk or 'at once'} | {memory:,.0f} | {seconds:.1f} | {error:.0e} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--chunk", type=int, default=64)
    parser.add_argument("--one", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--gradients", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        measure(given.one[0], given.one[1] or None, given.gradients)
        return
    print("| batch | chunk | extra MiB | seconds | gradient error |\n| --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for batch, chunk in ((given.chunk, 0), (given.batch, 0), (given.batch, given.chunk)):
            one = ["--one", str(batch), str(chunk), "--gradients", str(Path(folder) / "gradients.pt")]
            subprocess.run([sys.executable, __file__, *one], check=True)


if __name__ == "__main__":
    main()
