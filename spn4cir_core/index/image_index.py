"""Images in an index of vectors: the T vectors of an image stand behind one another, and row v is of image v // T."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from spn4cir_core.index.base import VectorIndex
from spn4cir_core.index.faiss_index import exhaustive, multiply_from_few_queries, one_faiss_thread
from spn4cir_core.index.settings import IndexSettings

SPARE = 16
"""Vectors taken beside those wanted, among which the last ones' ties are looked for."""
MOST_TAKEN = 16_384
VALUES_AT_ONCE = 1 << 24


@runtime_checkable
class Reconstructing(Protocol):
    """An index that gives its vectors back, as all of FAISS's do."""

    def search_and_reconstruct(self, queries_QD: np.ndarray, k: int, /) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scores (Q, k), rows (Q, k) and the vectors found (Q, k, D)."""


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


def candidate_images(index: VectorIndex, queries_QD: np.ndarray, wanted: int, tokens: int) -> list[np.ndarray]:
    """For each query the images of the T · wanted best vectors by the index's own scores, to be scored again.

    In any order and, with T vectors an image, perhaps several times. An index of codes gives a query the same ones
    whoever asks beside it.
    """
    multiply_from_few_queries(queries_QD.shape[1])
    with one_faiss_thread():
        _, rows_QK = index.search(np.ascontiguousarray(queries_QD, np.float32), min(index.ntotal, wanted * tokens))
    return [rows_K[rows_K >= 0] // tokens for rows_K in rows_QK]


def best_images_of_each(
    index: VectorIndex, queries_QD: np.ndarray, wanted: int, tokens: int
) -> list[list[tuple[float, int]]]:
    """What :func:`best_images` finds for each query.

    FAISS's scores and its order of ties change with k, the number of queries and the processor. So a few vectors more
    are taken, and their scores computed anew in float64; where those behind the last one wanted tie with it, more are
    taken, up to ``MOST_TAKEN``. Equal vectors then have equal scores, and the first of them comes first. Where an
    approximate index finds fewer than are wanted, every vector is compared.
    """
    multiply_from_few_queries(queries_QD.shape[1])
    best = _best_of_each(index, queries_QD, wanted, tokens)
    short = [query for query, hits in enumerate(best) if len(hits) < min(wanted, index.ntotal // tokens)]
    if short and (every := exhaustive(index)) is not None:
        for query, hits in zip(short, _best_of_each(every, queries_QD[short], wanted, tokens), strict=True):
            best[query] = hits
    return best


def _best_of_each(
    index: VectorIndex, queries_QD: np.ndarray, wanted: int, tokens: int
) -> list[list[tuple[float, int]]]:
    best: list[list[tuple[float, int]]] = [[] for _ in queries_QD]
    pending, k = np.arange(len(queries_QD)), min(index.ntotal, wanted * tokens + SPARE)
    while len(pending):
        most, further = max(1, VALUES_AT_ONCE // (k * queries_QD.shape[1])), []
        for block in np.split(pending, range(most, len(pending), most)):
            for query, (hits, settled) in zip(
                block, _best_hits(index, queries_QD[block], k, wanted, tokens), strict=True
            ):
                best[query] = hits
                if not settled and k < min(index.ntotal, max(MOST_TAKEN, wanted * tokens)):
                    further.append(query)
        pending, k = np.array(further, np.int64), min(index.ntotal, 4 * k)
    return best


def measured_recall(index: VectorIndex, vectors_VD: np.ndarray, queries_QD: np.ndarray, tokens: int, top: int) -> float:
    """Mean share of the ``top`` best images that the index finds, by comparison with every vector.

    An image that scores as much as the last of those counts as one of them.
    """
    import faiss

    multiply_from_few_queries(queries_QD.shape[1])
    nearest = min(top * tokens, len(vectors_VD))
    with one_faiss_thread():
        every = faiss.knn(queries_QD, vectors_VD, nearest, metric=faiss.METRIC_INNER_PRODUCT)
    best = best_images_of_each(index, queries_QD, top, tokens)
    shares = []
    for hits, scores, rows in zip(best, *every, strict=True):
        right = _distinct(scores, rows, top, tokens)
        least = right[-1][0] - rounding(queries_QD.shape[1])
        shares.append(sum(score >= least for score, _ in hits) / len(right))
    return float(np.mean(shares))


def rounding(dimensions: int) -> float:
    """What a float32 score of unit vectors may be off by.

    Source: Higham, Accuracy and Stability of Numerical Algorithms, section 3.1, to first order.
    """
    return dimensions * 2.0**-24


def _best_hits(
    index: VectorIndex, queries_QD: np.ndarray, k: int, wanted: int, tokens: int
) -> Iterator[tuple[list[tuple[float, int]], bool]]:
    """For each query the best images among the k best vectors, and whether no other image can tie with them."""
    with one_faiss_thread():
        if isinstance(index, Reconstructing):
            rough_QK, rows_QK, vectors_QKD = index.search_and_reconstruct(queries_QD, k)
        else:
            rough_QK, rows_QK = index.search(queries_QD, k)
            vectors_QKD = None
    for query, (rough, rows) in enumerate(zip(rough_QK, rows_QK, strict=True)):
        scores = rough
        if vectors_QKD is not None:
            scores = (vectors_QKD[query].astype(np.float64) * queries_QD[query].astype(np.float64)).sum(axis=1)
        hits = _distinct(scores, rows, wanted, tokens)
        behind = rough[-1] + rounding(queries_QD.shape[1])
        yield hits, bool(rows[-1] < 0 or (len(hits) == wanted and hits[-1][0] > behind))


def _distinct(scores: np.ndarray, neighbours: np.ndarray, wanted: int, tokens: int) -> list[tuple[float, int]]:
    ranked = sorted(
        (-float(score), int(row) // tokens) for score, row in zip(scores, neighbours, strict=True) if row >= 0
    )
    best: dict[int, float] = {}
    for score, image in ranked:
        best.setdefault(image, -score)
    return [(score, image) for image, score in list(best.items())[:wanted]]
