"""Kinds of FAISS index: flat, IVF and HNSW. One thread builds them, so the same vectors give the same bytes."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from typing_extensions import override

from spn4cir_core.index.base import Index, VectorIndex

TRAINING_ROWS_PER_CELL = 64
HNSW_BUILD_BREADTH = 200
MAPPED_FROM_BYTES = 256_000_000
"""A file of this size or larger is memory-mapped: it opens at once, and processes share the pages they read."""


class FaissIndex(Index):
    """What the FAISS kinds share: building on one thread, and FAISS's own file format."""

    @abstractmethod
    def empty(self, vectors_VD: np.ndarray, seed: int) -> Any:
        """A FAISS index without vectors, trained where its kind needs that."""

    @override
    def build(self, vectors_VD: np.ndarray, seed: int) -> VectorIndex:
        with one_faiss_thread():
            index = self.empty(vectors_VD, seed)
            index.add(np.ascontiguousarray(vectors_VD))
        built: VectorIndex = index
        return built

    @override
    def write(self, index: VectorIndex, path: Path) -> None:
        import faiss

        write: Any = faiss.write_index
        write(index, str(path))

    @override
    def open(self, path: Path) -> VectorIndex:
        import faiss

        mapped = path.stat().st_size >= MAPPED_FROM_BYTES
        index: VectorIndex = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0)
        return index


class Flat(FaissIndex):
    """Compares a query with every vector."""

    plugin_kind: ClassVar[str] = "flat"

    @override
    def empty(self, vectors_VD: np.ndarray, seed: int) -> Any:
        import faiss

        return faiss.IndexFlatIP(vectors_VD.shape[1])

    @override
    def describe(self) -> str:
        return "flat"


class Ivf(FaissIndex):
    """An inverted file: vectors in 4 √V cells, of which a search looks into a share."""

    plugin_kind: ClassVar[str] = "ivf"
    probed_share: float = Field(default=0.1, gt=0, le=1)

    @override
    def empty(self, vectors_VD: np.ndarray, seed: int) -> Any:
        import faiss

        rows, dim = vectors_VD.shape
        cells = max(1, min(round(4 * math.sqrt(rows)), rows // 39 or 1))
        index: Any = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, cells, faiss.METRIC_INNER_PRODUCT)
        index.cp.seed = seed
        index.nprobe = max(1, math.ceil(cells * self.probed_share))
        sample = np.random.default_rng(seed).permutation(rows)[: cells * TRAINING_ROWS_PER_CELL]
        index.train(np.ascontiguousarray(vectors_VD[np.sort(sample)]))
        return index

    @override
    def describe(self) -> str:
        return f"IVF that looks into {self.probed_share:g} of its cells"


class Hnsw(FaissIndex):
    """A graph of links between near vectors, which a search follows."""

    plugin_kind: ClassVar[str] = "hnsw"
    hnsw_links: int = Field(default=32, ge=2, le=512)
    hnsw_breadth: int = Field(default=128, ge=1)

    @override
    def empty(self, vectors_VD: np.ndarray, seed: int) -> Any:
        import faiss

        index: Any = faiss.IndexHNSWFlat(vectors_VD.shape[1], self.hnsw_links, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = HNSW_BUILD_BREADTH, self.hnsw_breadth
        return index

    @override
    def describe(self) -> str:
        return f"HNSW of {self.hnsw_links} links, {self.hnsw_breadth} vectors wide"


@contextmanager
def one_faiss_thread() -> Iterator[None]:
    """Let FAISS use one thread: sums are then always taken in the same order."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
