"""Near-duplicates by embedding in corpora too large for comparing every image with every other."""

from __future__ import annotations

from typing import Any

import numpy as np

from spn4cir_core.index.neighbour_index import NeighbourIndex
from spn4cir_core.splits.near_duplicates import MARGIN, Links, cosines, refuse_flood, sorted_links

ROWS_COMPARED_IN_FULL = 200_000
BLOCK_ROWS = 256
SAMPLE_ROWS = 200


def indexed_embedding_links(vectors_ND: np.ndarray, cosine: float) -> tuple[Links, dict[str, Any]]:
    """As ``embedding_links``, among the lists that an inverted file visits. A pair is found from either side.

    Returns:
        The links, and the index's details with the recall of the links of a sample of images
        (None if the sample has no near-duplicate).

    Raises:
        InputError: there are too many pairs to be duplicates.
    """
    index = NeighbourIndex(vectors_ND, flat_up_to=0)
    keys: list[np.ndarray] = []
    total, link_count = len(vectors_ND), 0
    for start in range(0, total, BLOCK_ROWS):
        query_row, row = index.within(vectors_ND[start : start + BLOCK_ROWS], cosine - MARGIN)
        left, right = np.minimum(query_row + start, row), np.maximum(query_row + start, row)
        left, right = left[left < right], right[left < right]
        near = cosines(vectors_ND[left], vectors_ND[right]) >= cosine - 1e-9
        keys.append(left[near] * total + right[near])
        link_count += len(keys[-1])
        refuse_flood(link_count // 2, total, f"near_duplicate_cosine = {cosine}")
    pairs = np.stack(np.divmod(np.unique(np.concatenate(keys)), total), axis=1)
    values = np.concatenate(
        [
            cosines(vectors_ND[part[:, 0]], vectors_ND[part[:, 1]])
            for part in np.array_split(pairs, len(pairs) // 4096 + 1)
        ]
    )
    details = {**index.details, "sampled_link_recall": _recall(vectors_ND, pairs, cosine)}
    return sorted_links(pairs, values.astype(np.float32)), details


def _recall(vectors_ND: np.ndarray, pairs_L2: np.ndarray, cosine: float) -> float | None:
    """Part of the links of a random sample of images that was found."""
    total = len(vectors_ND)
    sample = np.random.default_rng(0).choice(total, min(total, SAMPLE_ROWS), replace=False)
    queries = np.asarray(vectors_ND[sample], np.float32)
    known = set((pairs_L2[:, 0] * total + pairs_L2[:, 1]).tolist())
    hits = wanted = 0
    for start in range(0, total, 1 << 16):
        block = np.asarray(vectors_ND[start : start + (1 << 16)], np.float32)
        query_row, row = np.nonzero(queries @ block.T >= cosine - MARGIN)
        left, right = np.minimum(sample[query_row], row + start), np.maximum(sample[query_row], row + start)
        left, right = left[left < right], right[left < right]
        true = cosines(vectors_ND[left], vectors_ND[right]) >= cosine - 1e-9
        true_keys = (left[true] * total + right[true]).tolist()
        wanted += len(true_keys)
        hits += sum(key in known for key in true_keys)
    return round(hits / wanted, 4) if wanted else None
