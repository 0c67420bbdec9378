"""Exact ranks of targets by counting better scores, block by block; nothing is sorted.

A rank is the number of gallery images that stand before the best target, from 0. Scores closer than
``TIE`` (the rounding error of a float32 product of unit vectors) are ties; of the candidates that tie
with the target, half stand before it, rounded up. So a model that gives every image one score gets no
credit, and a result does not depend on the order of the gallery.

A gallery is (N, D), or (N, T, D) where an image has T vectors: its score is then the highest of the T.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

TIE = 1e-6


def best_ranks(
    queries_QD: np.ndarray,
    gallery: np.ndarray,
    targets: Sequence[Sequence[int]],
    removed: Sequence[Sequence[int]] | None = None,
    *,
    query_rows: int = 1024,
    gallery_rows: int = 4096,
) -> np.ndarray:
    """Rank of each query's best target: (Q,) int32, from 0.

    Other targets of the query and ``removed`` images stand before nothing.

    Args:
        queries_QD, gallery: unit vectors; the gallery may be memory-mapped, it is read in blocks.
        targets: gallery rows that are right, at least one per query.
        removed: gallery rows that are not in the query's gallery (its reference image, say).

    Raises:
        ValueError: a query has no target, or only removed ones.
    """
    removed = removed if removed is not None else [()] * len(targets)
    kept = [[row for row in rows if row not in gone] for rows, gone in zip(targets, map(set, removed), strict=True)]
    if len(kept) != len(queries_QD) or not all(kept):
        raise ValueError(f"{len(queries_QD)} queries, {sum(map(bool, kept))} of them with a target in the gallery")
    best = _best_scores(queries_QD, gallery, kept)
    left_out = [[*rows, *gone] for rows, gone in zip(kept, removed, strict=True)]
    better = np.zeros(len(queries_QD), np.int64)
    not_worse = np.zeros(len(queries_QD), np.int64)
    above_Q1, below_Q1 = best[:, None] + np.float32(TIE), best[:, None] - np.float32(TIE)
    for span, scores in _score_blocks(queries_QD, gallery, left_out, query_rows, gallery_rows):
        better[span] += np.count_nonzero(scores > above_Q1[span], axis=1)
        not_worse[span] += np.count_nonzero(scores >= below_Q1[span], axis=1)
    return (better + (not_worse - better + 1) // 2).astype(np.int32)


def top_hits(
    queries_QD: np.ndarray,
    gallery: np.ndarray,
    top: int,
    removed: Sequence[Sequence[int]] | None = None,
    *,
    query_rows: int = 1024,
    gallery_rows: int = 4096,
) -> tuple[np.ndarray, np.ndarray]:
    """Best gallery rows of each query and their scores: two (Q, min(top, N)) arrays, equal scores by row.

    A removed image ranks behind all others, with score −inf.
    """
    left_out = removed if removed is not None else [()] * len(queries_QD)
    top = min(top, len(gallery))
    rows_QK = np.zeros((len(queries_QD), top), np.int64)
    scores_QK = np.full((len(queries_QD), top), -np.inf, np.float32)
    first = 0
    for span, scores in _score_blocks(queries_QD, gallery, left_out, query_rows, gallery_rows):
        filled = min(first, top)
        rows, scores = _best_of_block(scores, first, top)
        rows = np.concatenate([rows_QK[span, :filled], rows], axis=1)
        scores = np.concatenate([scores_QK[span, :filled], scores], axis=1)
        order = np.lexsort((rows, -scores), axis=1)[:, :top]
        rows_QK[span, : order.shape[1]] = np.take_along_axis(rows, order, 1)
        scores_QK[span, : order.shape[1]] = np.take_along_axis(scores, order, 1)
        first += gallery_rows if span.stop == len(queries_QD) else 0
    return rows_QK, scores_QK


def _best_of_block(scores: np.ndarray, first: int, top: int) -> tuple[np.ndarray, np.ndarray]:
    if scores.shape[1] <= top:
        return np.broadcast_to(np.arange(first, first + scores.shape[1]), scores.shape), scores
    columns = np.argpartition(-scores, top - 1, axis=1)[:, :top]
    return columns + first, np.take_along_axis(scores, columns, 1)


def _best_scores(queries_QD: np.ndarray, gallery: np.ndarray, targets: Sequence[Sequence[int]]) -> np.ndarray:
    best = np.empty(len(queries_QD), np.float32)
    for row, rows in enumerate(targets):
        best[row] = (np.asarray(gallery[list(rows)], np.float32) @ queries_QD[row].astype(np.float32)).max()
    return best


def _score_blocks(
    queries_QD: np.ndarray,
    gallery: np.ndarray,
    left_out: Sequence[Sequence[int]],
    query_rows: int,
    gallery_rows: int,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (query rows, scores of one block), scores of left-out images −inf; gallery blocks in order.

    Scores of a later block overwrite those of an earlier one: fresh memory for each costs a tenth of the product.
    """
    queries_QD = np.asarray(queries_QD, np.float32)
    memory = np.empty(min(query_rows, len(queries_QD)) * min(gallery_rows, len(gallery)), np.float32)
    query_of = np.repeat(np.arange(len(left_out)), [len(rows) for rows in left_out])
    image_of = np.array([image for rows in left_out for image in rows], np.int64)
    for first in range(0, len(gallery), gallery_rows):
        block = np.asarray(gallery[first : first + gallery_rows], np.float32)
        inside = (image_of >= first) & (image_of < first + len(block))
        block_queries, block_images = query_of[inside], image_of[inside] - first
        for start in range(0, len(queries_QD), query_rows):
            span = slice(start, min(start + query_rows, len(queries_QD)))
            asked = queries_QD[span]
            scores = _scores(asked, block, memory[: len(asked) * len(block)].reshape(len(asked), len(block)))
            low, high = np.searchsorted(block_queries, [span.start, span.stop])
            scores[block_queries[low:high] - start, block_images[low:high]] = -np.inf
            yield span, scores


def _scores(queries_QD: np.ndarray, block: np.ndarray, out_Qn: np.ndarray) -> np.ndarray:
    """(Q, n) scores of n images of one or of several vectors, in ``out_Qn``."""
    if block.ndim == 2:
        return np.matmul(queries_QD, block.T, out=out_Qn)
    scores = np.matmul(queries_QD, block[:, 0].T, out=out_Qn)
    for token in range(1, block.shape[1]):
        np.maximum(scores, queries_QD @ block[:, token].T, out=scores)
    return scores
