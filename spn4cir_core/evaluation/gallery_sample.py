"""A smaller gallery for quick evaluation, which keeps what is hard to tell from the answers (as MMTEB does)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spn4cir_core.embeddings.vectors import Embeddings
from spn4cir_core.evaluation.base import QuerySet

NEAREST = 20
"""Look-alikes of each answer and each reference image that stay."""
ROWS_AT_ONCE = 256


def sampled(query_set: QuerySet, size: int, embeddings: Embeddings, seed: int) -> QuerySet:
    """The query set over about ``size`` images of its gallery; the set itself where it has no more.

    Answers, reference images, explicit negatives and the :data:`NEAREST` look-alikes of answers and reference images
    (by the frozen image encoder) stay, however many they are; a seeded sample of the others fills up. Recall is higher
    than in the whole gallery; the order of models stays for recall@1, less so for recall@10, since the first ten reach
    beyond the look-alikes (docs/experiments.md; Enevoldsen et al. 2025, "MMTEB").
    """
    gallery = query_set.gallery_ids
    if len(gallery) <= size:
        return query_set
    whole, queries = set(gallery), query_set.queries
    anchors = {image_id for query in queries for image_id in (*query.reference_ids, *query.target_ids)} & whole
    staying = anchors | {image_id for query in queries for image_id in query.negative_ids} & whole
    staying |= _look_alikes(sorted(anchors), gallery, embeddings)
    others = [image_id for image_id in gallery if image_id not in staying]
    wanted = max(0, size - len(staying))
    drawn = np.random.default_rng(seed).permutation(len(others))[:wanted]
    staying |= {others[number] for number in drawn}
    return replace(
        query_set,
        gallery_ids=tuple(image_id for image_id in gallery if image_id in staying),
        galleries={
            name: tuple(image_id for image_id in image_ids if image_id in staying)
            for name, image_ids in query_set.galleries.items()
        },
        protocol=f"{query_set.protocol} For quick evaluation {len(staying):,} of the {len(gallery):,} images are ranked"
        f": answers, reference images, explicit negatives, their {NEAREST} look-alikes and a sample of the others; "
        "recall is higher than in the whole gallery.",
    )


def _look_alikes(anchors: Sequence[str], gallery: Sequence[str], embeddings: Embeddings) -> set[str]:
    row_of = embeddings.row_of
    known = [image_id for image_id in gallery if image_id in row_of]
    vectors_ND = np.asarray(embeddings.vectors_ND[[row_of[image_id] for image_id in known]], np.float32)
    rows = [row_of[image_id] for image_id in anchors if image_id in row_of]
    near, count = set[int](), min(NEAREST + 1, len(known))  # an anchor is its own nearest
    for start in range(0, len(rows) if count else 0, ROWS_AT_ONCE):
        score_BN = np.asarray(embeddings.vectors_ND[rows[start : start + ROWS_AT_ONCE]], np.float32) @ vectors_ND.T
        near |= set(np.argpartition(-score_BN, count - 1, axis=1)[:, :count].ravel().tolist())
    return {known[column] for column in near}
