"""Images in an index of vectors: the T vectors of an image stand behind one another, and row v is of image v // T."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spn4cir_core.index.base import VectorIndex
from spn4cir_core.index.faiss_index import one_faiss_thread
from spn4cir_core.index.settings import IndexSettings


@dataclass(frozen=True)
class ImageIndex:
    """An index of one gallery."""

    says: str
    """What it is, for the protocol."""
    best: Callable[[np.ndarray, int], list[list[tuple[float, int]]]]
    """(Q, D) queries and how many images are wanted → of each query (score, gallery row), best first; fewer where the
    index finds no more."""


def build_index(vectors_VD: np.ndarray, settings: IndexSettings, seed: int) -> VectorIndex:
    """Inner-product index of V unit vectors, of the kind that the settings give for so many."""
    return settings.index_for(len(vectors_VD)).build(vectors_VD, seed)


def index_of_gallery(gallery: np.ndarray, settings: IndexSettings, seed: int) -> ImageIndex:
    """Index of a gallery's vectors, (N, D) or (N, T, D), for measuring what is lost by searching through it."""
    tokens = 1 if gallery.ndim == 2 else gallery.shape[1]
    index = build_index(gallery.reshape(-1, gallery.shape[-1]), settings, seed)
    return ImageIndex(
        settings.index_for(index.ntotal).describe(),
        lambda queries_QD, wanted: best_images_of_each(index, queries_QD, wanted, tokens),
    )


def best_images(index: VectorIndex, query_1D: np.ndarray, wanted: int, tokens: int) -> list[tuple[float, int]]:
    """(score, image) of the best images of an index of T = ``tokens`` vectors each, best first, equal scores by image.

    An image is as good as the best of its T vectors. Among the T · wanted best vectors are the best ones of at
    least ``wanted`` images, for no image has more than T of them: nothing is missed.
    """
    return best_images_of_each(index, query_1D, wanted, tokens)[0]


def best_images_of_each(
    index: VectorIndex, queries_QD: np.ndarray, wanted: int, tokens: int
) -> list[list[tuple[float, int]]]:
    """What :func:`best_images` finds for each query."""
    with one_faiss_thread():
        hits = index.search(queries_QD, wanted * tokens)
    return [_distinct(scores, neighbours, wanted, tokens) for scores, neighbours in zip(*hits, strict=True)]


def measured_recall(index: VectorIndex, vectors_VD: np.ndarray, queries_QD: np.ndarray, tokens: int, top: int) -> float:
    """Mean share of the ``top`` best images that the index finds, by comparison with every vector."""
    import faiss

    nearest = min(top * tokens, len(vectors_VD))
    with one_faiss_thread():
        every = faiss.knn(queries_QD, vectors_VD, nearest, metric=faiss.METRIC_INNER_PRODUCT)
    shares = []
    for query, scores, neighbours in zip(queries_QD, *every, strict=True):
        right = {image for _, image in _distinct(scores, neighbours, top, tokens)}
        hits = {image for _, image in best_images(index, query[None], top, tokens)}
        shares.append(len(right & hits) / len(right))
    return float(np.mean(shares))


def _distinct(scores: np.ndarray, neighbours: np.ndarray, wanted: int, tokens: int) -> list[tuple[float, int]]:
    ranked = sorted(
        (-float(score), int(row) // tokens) for score, row in zip(scores, neighbours, strict=True) if row >= 0
    )
    best: dict[int, float] = {}
    for score, image in ranked:
        best.setdefault(image, -score)
    return [(score, image) for image, score in list(best.items())[:wanted]]
