"""Exact ranks by counting against the published way: a full argsort into arrays of names (targets.md, P9).

python benchmarks/rank_queries.py --queries 6016 --gallery 15536 --dim 640
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from spn4cir_core.evaluation.ranks import best_ranks
from spn4cir_core.evaluation.recall import hits_at

KS = (1, 10, 50)


def unit(rows: int, dim: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def by_names(queries: np.ndarray, gallery: np.ndarray, names: np.ndarray, targets: np.ndarray) -> list[float]:
    """Sort every gallery, index the names with the order, compare them with the target's name."""
    distances = 1 - queries @ gallery.T
    sorted_names = names[np.argsort(distances, axis=-1)]
    right = sorted_names == np.repeat(names[targets], len(names)).reshape(len(queries), -1)
    return [float(right[:, :k].sum() / len(queries)) for k in KS]


def by_counting(queries: np.ndarray, gallery: np.ndarray, targets: np.ndarray) -> list[float]:
    ranks = best_ranks(queries, gallery, [[int(target)] for target in targets])
    return [float(value) for value in hits_at(ranks, KS).mean(axis=0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=6016)
    parser.add_argument("--gallery", type=int, default=15_536)
    parser.add_argument("--dim", type=int, default=640)
    parser.add_argument("--name-rows", type=int, default=512, help="queries per chunk of the way with names (memory)")
    options = parser.parse_args()
    gallery = unit(options.gallery, options.dim, 0)
    targets = np.random.default_rng(1).integers(options.gallery, size=options.queries)
    queries = gallery[targets] + 12 * unit(options.queries, options.dim, 2)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    names = np.array([f"B{number:09d}" for number in range(options.gallery)])
    started = time.perf_counter()
    counted = by_counting(queries, gallery, targets)
    counting_s = time.perf_counter() - started
    started = time.perf_counter()
    for start in range(0, options.queries, 1024):
        queries[start : start + 1024] @ gallery.T
    product_s = time.perf_counter() - started
    started = time.perf_counter()
    chunks = [slice(start, start + options.name_rows) for start in range(0, options.queries, options.name_rows)]
    named = [np.array(by_names(queries[rows], gallery, names, targets[rows])) * len(queries[rows]) for rows in chunks]
    names_s = time.perf_counter() - started
    recalls = (np.sum(named, axis=0) / options.queries).tolist()
    result = {
        "queries": options.queries,
        "gallery": options.gallery,
        "counting_s": round(counting_s, 2),
        "names_s": round(names_s, 2),
        "ratio": round(names_s / counting_s, 1),
        "product_s": round(product_s, 2),
        "recalls": dict(zip(KS, counted, strict=True)),
        "identical": bool(np.allclose(counted, recalls)),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
