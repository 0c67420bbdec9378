"""Seconds that a flat index takes for a query, in batches, with FAISS's own threshold of matrix products and with ours.

python benchmarks/flat_search.py --rows 300000 --dimensions 512
"""

from __future__ import annotations

import argparse
import time

import faiss
import numpy as np

from spn4cir_core.index.faiss_index import multiply_from_few_queries, one_faiss_thread

QUERIES = (1, 4, 8, 20, 50, 100, 200, 300)
FAISS_DEFAULT = 128_000


def main() -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--dimensions", type=int, default=512)
    given = parser.parse_args()
    vectors = unit(given.rows, given.dimensions, 0)
    index = faiss.IndexFlatIP(given.dimensions)
    index.add(vectors)
    print("| queries at once | FAISS alone, ms a query | ours, ms a query | ratio |\n| --- | --- | --- | --- |")
    for count in QUERIES:
        queries = unit(count, given.dimensions, 1)
        faiss.cvar.distance_compute_blas_threshold = FAISS_DEFAULT
        alone = milliseconds_a_query(index, queries)
        multiply_from_few_queries(given.dimensions)
        ours = milliseconds_a_query(index, queries)
        print(f"| {count} | {alone:.1f} | {ours:.1f} | {alone / ours:.1f}× faster |")


def unit(rows: int, dimensions: int, seed: int) -> np.ndarray:
    """(rows, dimensions) float32 random unit vectors."""
    drawn = np.random.default_rng(seed).standard_normal((rows, dimensions), dtype=np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn


def milliseconds_a_query(index: faiss.Index, queries: np.ndarray) -> float:
    """One search of all queries, on one thread, for the ten best."""
    with one_faiss_thread():
        start = time.perf_counter()
        index.search(queries, 10)
        return 1000 * (time.perf_counter() - start) / len(queries)


if __name__ == "__main__":
    main()
