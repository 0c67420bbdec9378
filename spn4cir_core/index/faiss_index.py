"""FAISS indexes of candidate vectors: flat, IVF or HNSW; the T vectors of an image stand behind one another."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spn4cir_core.index.settings import IndexSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

TRAINING_ROWS_PER_CELL = 64
HNSW_BUILD_BREADTH = 200
MAPPED_FROM_BYTES = 256_000_000
"""A file of this size or larger is memory-mapped: it opens at once, and processes share what they read of it."""


def kind_of(vectors: int, settings: IndexSettings) -> str:
    """``flat``, ``ivf`` or ``hnsw``: what an index of that many vectors is."""
    return "flat" if vectors <= settings.flat_up_to else settings.above


def build_index(vectors_VD: np.ndarray, settings: IndexSettings, seed: int) -> Any:
    """FAISS inner-product index of unit vectors; row v is of image v // T.

    One thread builds it, so the same vectors give the same bytes.
    """
    rows, dim = vectors_VD.shape
    make = {"flat": _flat, "ivf": _ivf, "hnsw": _hnsw}[kind_of(rows, settings)]
    with one_faiss_thread():
        index = make(vectors_VD, dim, settings, seed)
        index.add(np.ascontiguousarray(vectors_VD))
    return index


def _flat(vectors_VD: np.ndarray, dim: int, settings: IndexSettings, seed: int) -> Any:
    import faiss

    return faiss.IndexFlatIP(dim)


def _ivf(vectors_VD: np.ndarray, dim: int, settings: IndexSettings, seed: int) -> Any:
    import faiss

    rows = len(vectors_VD)
    cells = max(1, min(round(4 * math.sqrt(rows)), rows // 39 or 1))
    index: Any = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = seed
    index.nprobe = max(1, math.ceil(cells * settings.probed_share))
    drawn = np.random.default_rng(seed).permutation(rows)[: cells * TRAINING_ROWS_PER_CELL]
    index.train(np.ascontiguousarray(vectors_VD[np.sort(drawn)]))
    return index


def _hnsw(vectors_VD: np.ndarray, dim: int, settings: IndexSettings, seed: int) -> Any:
    import faiss

    index: Any = faiss.IndexHNSWFlat(dim, settings.hnsw_links, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = HNSW_BUILD_BREADTH, settings.hnsw_breadth
    return index


def open_index(path: Path) -> Any:
    """Read an index, memory-mapped if it is large.

    Raises:
        RuntimeError: the file is no index.
    """
    import faiss

    mapped = path.stat().st_size >= MAPPED_FROM_BYTES
    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0)


def best_images(index: Any, query_1D: np.ndarray, wanted: int, tokens: int) -> list[tuple[float, int]]:
    """(score, image) of the best images of an index of T = ``tokens`` vectors each, best first, equal scores by image.

    An image is as good as the best of its T vectors. Among the T · wanted best vectors are the best ones of at
    least ``wanted`` images, for no image has more than T of them: nothing is missed.
    """
    return best_images_of_each(index, query_1D, wanted, tokens)[0]


def best_images_of_each(index: Any, queries_QD: np.ndarray, wanted: int, tokens: int) -> list[list[tuple[float, int]]]:
    """What :func:`best_images` finds for each query."""
    with one_faiss_thread():
        found = index.search(queries_QD, wanted * tokens)
    return [_distinct(scores, neighbours, wanted, tokens) for scores, neighbours in zip(*found, strict=True)]


def index_of_gallery(gallery: np.ndarray, settings: IndexSettings, seed: int) -> ImageIndex:
    """Index of a gallery's vectors, (N, D) or (N, T, D), for measuring what is lost by searching through it."""
    tokens = 1 if gallery.ndim == 2 else gallery.shape[1]
    index = build_index(gallery.reshape(-1, gallery.shape[-1]), settings, seed)
    return ImageIndex(
        _said(kind_of(index.ntotal, settings), settings),
        lambda queries_QD, wanted: best_images_of_each(index, queries_QD, wanted, tokens),
    )


def _said(kind: str, settings: IndexSettings) -> str:
    return {
        "flat": "flat",
        "ivf": f"IVF that looks into {settings.probed_share:g} of its cells",
        "hnsw": f"HNSW of {settings.hnsw_links} links, {settings.hnsw_breadth} vectors wide",
    }[kind]


def _distinct(scores: np.ndarray, neighbours: np.ndarray, wanted: int, tokens: int) -> list[tuple[float, int]]:
    found = sorted(
        (-float(score), int(row) // tokens) for score, row in zip(scores, neighbours, strict=True) if row >= 0
    )
    best: dict[int, float] = {}
    for score, image in found:
        best.setdefault(image, -score)
    return [(score, image) for image, score in list(best.items())[:wanted]]


def measured_recall(index: Any, vectors_VD: np.ndarray, queries_QD: np.ndarray, tokens: int, top: int) -> float:
    """Mean share of the ``top`` best images that the index finds, by comparison with every vector."""
    import faiss

    nearest = min(top * tokens, len(vectors_VD))
    with one_faiss_thread():
        every = faiss.knn(queries_QD, vectors_VD, nearest, metric=faiss.METRIC_INNER_PRODUCT)
    shares = []
    for query, scores, neighbours in zip(queries_QD, *every, strict=True):
        right = {image for _, image in _distinct(scores, neighbours, top, tokens)}
        found = {image for _, image in best_images(index, query[None], top, tokens)}
        shares.append(len(right & found) / len(right))
    return float(np.mean(shares))


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


@dataclass(frozen=True)
class ImageIndex:
    """An index of one gallery."""

    says: str
    """What it is, for the protocol."""
    best: Callable[[np.ndarray, int], list[list[tuple[float, int]]]]
    """(Q, D) queries and how many images are wanted → of each query (score, gallery row), best first; fewer where the
    index finds no more."""
