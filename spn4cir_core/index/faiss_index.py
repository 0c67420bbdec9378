"""Kinds of FAISS index: flat, IVF, HNSW and codes. One thread builds them, so the same vectors give the same bytes."""

from __future__ import annotations

import math
import threading
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from typing_extensions import override

from spn4cir_core.index.base import Index, VectorIndex
from spn4cir_core.index.equal_vectors import groups_of_equals

TRAINING_ROWS_PER_CELL = 64
LEAST_CODED, MOST_CODED_TO_LEARN = 1_000, 65_536
"""Vectors from which on codes are learnt, and how many of them are learnt from."""
HNSW_BUILD_BREADTH = 200
MANY_EQUALS = 9
"""So many equal vectors take the links of a graph that lead elsewhere; fewer do no harm."""
MATRIX_PRODUCT_FROM = 4
"""Queries from which on FAISS's matrix product is faster than one query after another."""
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


class Codes(FaissIndex):
    """Compares a query with a code of every vector: four bits for two dimensions, a sixteenth of their memory.

    Product quantisation, scored in processor registers (André et al. 2015, Cache locality is not enough). For
    candidates that are scored again: of the ten nearest, nearly all are among the 300 best by their codes.
    """

    plugin_kind: ClassVar[str] = "codes"
    flat_up_to: int = Field(default=200_000, ge=1)
    """Above, the codes are in √V cells, of which a search looks into a share."""
    probed_share: float = Field(default=0.1, gt=0, le=1)

    @override
    def empty(self, vectors_VD: np.ndarray, seed: int) -> Any:
        """A flat index where there are too few vectors to learn codes from."""
        import faiss

        rows, dim = vectors_VD.shape
        if rows < LEAST_CODED:
            return faiss.IndexFlatIP(dim)
        parts, product = (dim // 2 if dim % 2 == 0 else dim), faiss.METRIC_INNER_PRODUCT
        if rows <= self.flat_up_to:
            index: Any = faiss.IndexPQFastScan(dim, parts, 4, product)
        else:
            cells = round(math.sqrt(rows))
            index = faiss.IndexIVFPQFastScan(faiss.IndexFlatIP(dim), dim, cells, parts, 4, product)
            index.cp.seed, index.nprobe = seed, max(1, math.ceil(cells * self.probed_share))
        index.pq.cp.seed = seed
        sample = np.random.default_rng(seed).permutation(rows)[:MOST_CODED_TO_LEARN]
        index.train(np.ascontiguousarray(vectors_VD[np.sort(sample)]))
        return index

    @override
    def describe(self) -> str:
        return "codes of four bits for two dimensions"


class Hnsw(FaissIndex):
    """A graph of links between near vectors, which a search follows.

    Where many vectors are equal, or nearly so, one of them stands in the graph and the others beside it: a thousand
    equal ones would link to nothing but one another, and cut off those that come after them.
    """

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
    def build(self, vectors_VD: np.ndarray, seed: int) -> VectorIndex:
        groups = groups_of_equals(vectors_VD, MANY_EQUALS)
        if not groups:
            return super().build(vectors_VD, seed)
        first_V = np.arange(len(vectors_VD))
        for rows in groups:
            first_V[rows] = rows[0]
        nodes, node_V = np.unique(first_V, return_inverse=True)
        graph = super().build(vectors_VD[nodes], seed)
        return GraphOfGroups.build(graph, vectors_VD, node_V.astype(np.int64), self.hnsw_breadth)

    @override
    def write(self, index: VectorIndex, path: Path) -> None:
        super().write(index.lists if isinstance(index, GraphOfGroups) else index, path)

    @override
    def open(self, path: Path) -> VectorIndex:
        index: Any = super().open(path)
        return GraphOfGroups(index) if hasattr(index, "nprobe") else index

    @override
    def describe(self) -> str:
        return f"HNSW of {self.hnsw_links} links, {self.hnsw_breadth} vectors wide"


class GraphOfGroups:
    """An inverted file whose coarse quantiser is an HNSW graph with one node for each group of equal vectors."""

    def __init__(self, lists: Any) -> None:
        self.lists = lists

    @classmethod
    def build(cls, graph: Any, vectors_VD: np.ndarray, node_V: np.ndarray, breadth: int) -> GraphOfGroups:
        """Put each of the V vectors into the list of its node of the graph; a search reads ``breadth`` lists."""
        import faiss

        lists: Any = faiss.IndexIVFFlat(graph, vectors_VD.shape[1], graph.ntotal, faiss.METRIC_INNER_PRODUCT)
        lists.own_fields, lists.nprobe = True, breadth
        graph.this.disown()
        vectors = np.ascontiguousarray(vectors_VD, np.float32)
        lists.add_core(len(vectors), faiss.swig_ptr(vectors), None, faiss.swig_ptr(node_V))
        return cls(lists)

    @property
    def ntotal(self) -> int:
        """V, the number of vectors."""
        return int(self.lists.ntotal)

    @property
    def d(self) -> int:
        """D, the dimensions of a vector."""
        return int(self.lists.d)

    def search(self, queries_QD: np.ndarray, k: int, /) -> tuple[np.ndarray, np.ndarray]:
        """See :meth:`VectorIndex.search`; as a graph does, it looks at k vectors at least."""
        scores, rows = self.lists.search(queries_QD, k, params=self._breadth(k))
        return scores, rows

    def search_and_reconstruct(self, queries_QD: np.ndarray, k: int, /) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As :meth:`search`, with the vectors found: (Q, k, D)."""
        scores, rows, vectors = self.lists.search_and_reconstruct(queries_QD, k, params=self._breadth(k))
        return scores, rows, vectors

    def _breadth(self, k: int) -> Any:
        import faiss

        parameters: Any = faiss.SearchParametersIVF
        return parameters(nprobe=min(self.lists.nlist, max(self.lists.nprobe, k)))


_ALL_LISTS = threading.Lock()


class AllLists:
    """An inverted file of which every list is searched."""

    def __init__(self, lists: Any) -> None:
        self._lists = lists

    @property
    def ntotal(self) -> int:
        """V, the number of vectors."""
        return int(self._lists.ntotal)

    @property
    def d(self) -> int:
        """D, the dimensions of a vector."""
        return int(self._lists.d)

    def search(self, queries_QD: np.ndarray, k: int, /) -> tuple[np.ndarray, np.ndarray]:
        """See :meth:`VectorIndex.search`; a search beside it may look into more lists than it would alone."""
        lists_QL = np.tile(np.arange(self._lists.nlist, dtype=np.int64), (len(queries_QD), 1))
        with _ALL_LISTS:
            before, self._lists.nprobe = self._lists.nprobe, self._lists.nlist
            try:
                scores, rows = self._lists.search_preassigned(
                    queries_QD, k, lists_QL, np.zeros(lists_QL.shape, np.float32)
                )
            finally:
                self._lists.nprobe = before
        return scores, rows


def exhaustive(index: Any) -> VectorIndex | None:
    """The vectors of an approximate index, every one of which is compared; None where that index is none of ours."""
    import faiss

    if hasattr(index, "exhaustive"):
        every: VectorIndex = index.exhaustive()
        return every
    lists = index.lists if isinstance(index, GraphOfGroups) else index
    if hasattr(lists, "nprobe"):
        return AllLists(lists)
    if hasattr(index, "hnsw"):
        downcast: Any = faiss.downcast_index
        stored: VectorIndex = downcast(index.storage)
        return stored
    return None


def multiply_from_few_queries(dimensions: int) -> None:
    """Let FAISS compare ``MATRIX_PRODUCT_FROM`` queries or more with a flat index by a matrix product.

    By itself it does so from 128,000 numbers on (250 queries of 512), and takes seven to twenty times as long below.
    The setting is one for the whole process.
    """
    import faiss

    faiss.cvar.distance_compute_blas_threshold = min(_default_threshold(), MATRIX_PRODUCT_FROM * dimensions)


@lru_cache
def _default_threshold() -> int:
    """Queries × dimensions in FAISS 1.15; older versions count queries alone, and have 20."""
    import faiss

    return int(faiss.cvar.distance_compute_blas_threshold)


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
