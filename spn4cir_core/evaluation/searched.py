"""What a composed query finds through an index, as a search would ask it, beside what comparing every image finds.

Recall@k through an index is the share of queries of which a target is among the first k images that the index finds.
It is asked for each k by itself, because some indexes look further when more is wanted. Images that it does not find
stand nowhere; those that it does are ranked by the rules of :mod:`.ranks`, so an index that misses nothing loses
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spn4cir_core.evaluation.ranks import TIE, Ties, half_of
from spn4cir_core.evaluation.score_blocks import exact_scores
from spn4cir_core.index.image_index import ImageIndex

NEAR = 4 * TIE
"""Images that score this much less than the k-th may tie with a target among the first k: two ties and rounding."""


def searched_ranks(
    index: ImageIndex,
    queries_QD: np.ndarray,
    gallery: np.ndarray,
    targets: Sequence[Sequence[int]],
    removed: Sequence[Sequence[int]],
    k: int,
    ties: Ties = "half",
    middles_Q: np.ndarray | None = None,
) -> np.ndarray:
    """Rank of each query's best target among the images found: (Q,) int32, from 0; N where none of them is a target.

    Below ``k`` where a search for k images shows a target, ``removed`` ones not counted.

    Args:
        gallery: (N, D) or (N, T, D), the vectors that the index holds.
        targets, removed, ties, middles_Q: as :func:`.ranks.best_ranks` takes them.
    """
    rows_Q = _searched_rows(index, queries_QD, len(gallery), removed, k)
    ranks_Q = np.full(len(queries_QD), len(gallery), np.int32)
    for query, rows in enumerate(rows_Q):
        right = np.isin(rows, targets[query])
        if right.any():
            scores = exact_scores(queries_QD, gallery, np.full(len(rows), query), rows)
            best, others = scores[right].max(), scores[~right]
            if ties == "published":
                first = rows[right][scores[right] == best].min()
                before = (others > best) | ((others == best) & (rows[~right] < first))
                ranks_Q[query] = np.count_nonzero(before)
            else:
                better = np.count_nonzero(others > best + TIE)
                tied = np.count_nonzero(others >= best - TIE) - better
                ranks_Q[query] = better + half_of(int(tied), middles_Q, query)
    return ranks_Q


def _searched_rows(
    index: ImageIndex, queries_QD: np.ndarray, images: int, removed: Sequence[Sequence[int]], k: int
) -> list[np.ndarray]:
    """Gallery rows that the index finds for each query, without the removed ones: k, and those that tie with them."""
    rows_Q = [np.zeros(0, np.int64) for _ in queries_QD]
    pending, wanted = list(range(len(queries_QD))), min(images, k + 1 + max(map(len, removed), default=0))
    while pending:
        further = []
        for query, hits in zip(pending, index.best(queries_QD[pending], wanted), strict=True):
            remaining = [(score, row) for score, row in hits if row not in removed[query]]
            rows_Q[query] = np.array([row for _, row in remaining], np.int64)
            if len(hits) == wanted < images and remaining[-1][0] > remaining[k - 1][0] - NEAR:
                further.append(query)
        pending, wanted = further, min(images, 2 * wanted)
    return rows_Q
