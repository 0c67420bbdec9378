"""Nearest neighbours among vectors, by FAISS."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np

from spn4cir_core.errors import InputError
from spn4cir_core.index.faiss_index import multiply_from_few_queries

log = logging.getLogger(__name__)

MAX_NEIGHBOURS = 2048
"""FAISS's indexes on GPUs give no more."""
FLAT_UP_TO = 200_000
RECALL_WANTED = 0.95
BLOCK_ROWS = 1 << 16
TRAINING_PASSES = 10
"""Passes of k-means over the training sample of an inverted file, FAISS's default."""
SAMPLE_PER_LIST = 40


class NeighbourIndex:
    """The k most similar rows of unit vectors: exact (flat) up to ``flat_up_to`` rows, an inverted file above.

    ``details`` says which it is and, for an inverted file, its measured recall. Searches for the k nearest run on
    the first GPU where this FAISS knows one; ``within`` is not to be had there.
    """

    def __init__(self, vectors: np.ndarray, seed: int = 0, flat_up_to: int = FLAT_UP_TO) -> None:
        import faiss

        self._index: Any
        self._nearest: Any

        rows, dimensions = vectors.shape
        self.details: dict[str, Any] = {"index": "flat"}
        if rows <= flat_up_to:
            self._index = faiss.IndexFlatIP(dimensions)
            self._add(vectors)
        else:
            lists = max(16, int(4 * math.sqrt(rows)))
            quantizer = faiss.IndexFlatIP(dimensions)
            kind = faiss.ScalarQuantizer.QT_fp16
            self._index = faiss.IndexIVFScalarQuantizer(quantizer, dimensions, lists, kind, faiss.METRIC_INNER_PRODUCT)
            self._index.cp.seed = 1234 + seed
            sample = np.sort(
                np.random.default_rng(seed).choice(rows, min(rows, SAMPLE_PER_LIST * lists), replace=False)
            )
            self._index.train(np.ascontiguousarray(vectors[sample], np.float32))
            self._add(vectors)
            self._tune(vectors, lists, seed)
        self._nearest = _on_gpu(self._index)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores (Q, k) float32, best first, and rows (Q, k) int64; a row of -1 means that fewer were found.

        Raises:
            InputError: k is above 2,048.
        """
        if k > MAX_NEIGHBOURS:
            raise InputError(f"{k} nearest neighbours are more than {MAX_NEIGHBOURS}; use another mode of pairs")
        multiply_from_few_queries(queries.shape[1])
        scores, rows = self._nearest.search(np.ascontiguousarray(queries, np.float32), k)
        return scores, rows

    def within(self, queries: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
        """(L,) places of queries with the (L,) rows whose score is above ``least``; an inverted file misses some."""
        multiply_from_few_queries(queries.shape[1])
        limits, _, rows = self._index.range_search(np.ascontiguousarray(queries, np.float32), least)
        return np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64))), rows

    def _add(self, vectors: np.ndarray) -> None:
        for start in range(0, len(vectors), BLOCK_ROWS):
            self._index.add(np.ascontiguousarray(vectors[start : start + BLOCK_ROWS], np.float32))

    def _tune(self, vectors: np.ndarray, lists: int, seed: int) -> None:
        """Visit twice as many lists until the recall of a sample's ten nearest is ``RECALL_WANTED``."""
        multiply_from_few_queries(vectors.shape[1])
        sample = np.sort(np.random.default_rng(seed).choice(len(vectors), 200, replace=False))
        queries = np.ascontiguousarray(vectors[sample], np.float32)
        wanted = _nearest_by_brute_force(vectors, queries, 10)
        visited, recall = 4, 0.0
        while recall < RECALL_WANTED and visited < lists:
            visited = min(lists, 2 * visited)
            self._index.nprobe = visited
            _, nearest = self._index.search(queries, 10)
            recall = float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(wanted, nearest, strict=True)]))
        self.details = {"index": "ivf", "lists": lists, "lists_visited": visited, "recall_at_10": recall}


def inverted_file_products(rows: float, lists_visited: float) -> float:
    """Multiply-adds per dimension of an inverted file: train it, add the rows, search it once with every row."""
    lists = 4 * math.sqrt(rows)
    training = TRAINING_PASSES * SAMPLE_PER_LIST * lists * lists
    return training + 2 * rows * lists + rows * lists_visited * rows / lists


def index_floats(rows: float, dimensions: int) -> float:
    """Float32 numbers that the index holds in memory; an inverted file stores float16."""
    return rows * dimensions / (2 if rows > FLAT_UP_TO else 1)


def _on_gpu(index: Any) -> Any:
    """A copy of the index on the first GPU; the index itself where there is none, or none with room for it."""
    import faiss

    if faiss.get_num_gpus() == 0:
        return index
    try:
        copy: Any = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    except RuntimeError as error:
        log.warning("searching neighbours on the CPU, the GPU has no room: %s", str(error).splitlines()[0])
        return index
    if hasattr(index, "nprobe"):
        copy.nprobe = min(index.nprobe, MAX_NEIGHBOURS)
    return copy


def _nearest_by_brute_force(vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    best_scores = np.full((len(queries), k), -np.inf, np.float32)
    best_rows = np.full((len(queries), k), -1)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = np.asarray(vectors[start : start + BLOCK_ROWS], np.float32)
        scores = np.concatenate([best_scores, queries @ block.T], axis=1)
        rows = np.concatenate(
            [best_rows, np.broadcast_to(np.arange(start, start + len(block)), (len(queries), len(block)))], 1
        )
        top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        best_scores, best_rows = np.take_along_axis(scores, top, 1), np.take_along_axis(rows, top, 1)
    return best_rows
