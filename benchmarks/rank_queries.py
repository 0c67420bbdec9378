"""Exact ranks by counting against the published way: a full argsort into arrays of names (targets.md, P9).

The published way is that of CLIP4Cir's and SPN4CIR's validation, step by step: distances, ``torch.argsort``, names in
that order, a comparison of all of them with the target's name, a check that each target was found once. They run it
per category of FashionIQ (``--categories``); in one gallery of all images it is run for a few queries at a time,
because the names alone would take 4 GB. "product" is the bare float32 product of NumPy, without counting anything.

The vectors are random and the targets found badly (recall@10 is 13 %), which is hard here: many scores lie near a
target's. The better a model ranks its targets, the fewer do, and the less has to be looked at twice.

python benchmarks/rank_queries.py --queries 6016 --gallery 15536 --dim 640
python benchmarks/rank_queries.py --categories
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from spn4cir_core.evaluation.ranks import best_ranks
from spn4cir_core.evaluation.recall import hits_at
from spn4cir_core.evaluation.score_blocks import fastest_precision

KS = (1, 10, 50)
FASHIONIQ = ((2017, 3817), (2038, 6346), (1961, 5373))
"""Queries and validation images of dress, shirt and toptee."""


def unit(rows: int, dim: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def by_names(queries: np.ndarray, gallery: np.ndarray, names: np.ndarray, targets: np.ndarray) -> list[float]:
    """Sort every gallery, index the names with the order, compare them with the target's name."""
    distances = 1 - torch.from_numpy(queries) @ torch.from_numpy(gallery).T
    sorted_names = names[torch.argsort(distances, dim=-1).numpy()]
    wanted = np.repeat(names[targets], len(names)).reshape(len(queries), -1)
    right = torch.tensor(sorted_names == wanted)
    assert torch.equal(torch.sum(right, dim=-1).int(), torch.ones(len(queries)).int())
    return [(torch.sum(right[:, :k]) / len(right)).item() for k in KS]


def by_counting(queries: np.ndarray, gallery: np.ndarray, targets: np.ndarray) -> list[float]:
    ranks = best_ranks(queries, gallery, [[int(target)] for target in targets])
    return [float(value) for value in hits_at(ranks, KS).mean(axis=0)]


def best_seconds(work: Callable[[], object], times: int) -> tuple[float, float]:
    """Least of several runs, by the clock and of processor time (all threads), which others' work disturbs less."""
    clock, processor = [], []
    for _ in range(times):
        started, used = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    return min(clock), min(processor)


def measured(queries_count: int, gallery_count: int, options: argparse.Namespace) -> dict[str, Any]:
    gallery = unit(gallery_count, options.dim, 0)
    targets = np.random.default_rng(1).integers(gallery_count, size=queries_count)
    queries = gallery[targets] + 12 * unit(queries_count, options.dim, 2)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    names = np.array([f"B{number:09d}" for number in range(gallery_count)])
    rows = options.name_rows if not options.categories else queries_count
    chunks = [slice(start, start + rows) for start in range(0, queries_count, rows)]

    def name_them() -> np.ndarray:
        recalls = [
            np.array(by_names(queries[rows], gallery, names, targets[rows])) * len(queries[rows]) for rows in chunks
        ]
        total: np.ndarray = np.sum(recalls, axis=0) / queries_count
        return total

    def multiply() -> None:
        for at in range(0, queries_count, 1024):
            np.matmul(queries[at : at + 1024], gallery.T, out=product_Qn[: len(queries[at : at + 1024])])

    product_Qn = np.empty((min(1024, queries_count), gallery_count), np.float32)
    by_counting(queries[:8], gallery, targets[:8])  # libraries are loaded
    seconds = {
        "counting": best_seconds(lambda: by_counting(queries, gallery, targets), options.times),
        "product": best_seconds(multiply, options.times),
        "names": best_seconds(name_them, options.name_times),
    }
    named = name_them().tolist()
    counted = by_counting(queries, gallery, targets)
    ratios = [names / counting for names, counting in zip(seconds["names"], seconds["counting"], strict=True)]
    return {
        "queries": queries_count,
        "gallery": gallery_count,
        "computed_in": fastest_precision(gallery_count),
        **{f"{name}_s": round(clock, 3) for name, (clock, _) in seconds.items()},
        **{f"{name}_processor_s": round(processor, 3) for name, (_, processor) in seconds.items()},
        "ratio": round(ratios[0], 1),
        "processor_ratio": round(ratios[1], 1),
        "recalls": dict(zip(KS, counted, strict=True)),
        # Counting takes scores closer than 1e-6 for ties, half of which stand before; a sort breaks them by chance.
        "queries_that_differ": [
            round(abs(ours - theirs) * queries_count) for ours, theirs in zip(counted, named, strict=True)
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=6016)
    parser.add_argument("--gallery", type=int, default=15_536)
    parser.add_argument("--dim", type=int, default=640)
    parser.add_argument("--name-rows", type=int, default=512, help="queries per chunk of the way with names (memory)")
    parser.add_argument("--categories", action="store_true", help="FashionIQ's three galleries, one after another")
    parser.add_argument("--times", type=int, default=3, help="runs of counting and of the product, the best counts")
    parser.add_argument("--name-times", type=int, default=2, help="runs of the way with names")
    options = parser.parse_args()
    sizes = FASHIONIQ if options.categories else ((options.queries, options.gallery),)
    results = [measured(queries, gallery, options) for queries, gallery in sizes]
    for result in results:
        print(json.dumps(result))
    if options.categories:
        names = ("counting", "product", "names")
        totals = {f"{name}_s": round(sum(result[f"{name}_s"] for result in results), 3) for name in names}
        print(json.dumps({**totals, "ratio": round(totals["names_s"] / totals["counting_s"], 1)}))


if __name__ == "__main__":
    main()
