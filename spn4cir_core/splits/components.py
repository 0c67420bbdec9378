"""Connected components: images that must stay on one side of the split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

MOST_VIEWS = 200
"""Other images of its product that each image is linked to."""


def components(count: int, links_L2: np.ndarray) -> np.ndarray:
    """Component number (N,) int32 of each of ``count`` nodes; components are numbered by their first node."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(links_L2), dtype=np.int8)
    graph = coo_array((ones, (links_L2[:, 0], links_L2[:, 1])), shape=(count, count))
    _, labels = connected_components(graph.tocsr(), directed=False)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[inverse]


def group_links(groups: Sequence[tuple[str, str]]) -> np.ndarray:
    """Links (L, 2) that chain the nodes of each group; a group is (corpus, name), no name is no group."""
    last: dict[tuple[str, str], int] = {}
    links = []
    for node, group in enumerate(groups):
        if group[1]:
            if group in last:
                links.append((last[group], node))
            last[group] = node
    return np.array(links, dtype=np.int64).reshape(-1, 2)


def product_links(
    corpora: Sequence[str], groups: Sequence[str], variants: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Links (L, 2) among all images of each product, and their similarity (L,), which is 1.

    Images of two ``variants`` of a product show different things and are not linked; one without a variant is linked
    to all. Of a group of more than ``MOST_VIEWS`` images each is linked to that many that follow it.
    """
    rows_of: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, key in enumerate(zip(corpora, groups, strict=True)):
        if key[1]:
            rows_of[key].append(row)
    links = [
        (row, other)
        for rows in rows_of.values()
        for position, row in enumerate(rows)
        for other in rows[position + 1 : position + 1 + MOST_VIEWS]
        if variants is None or "" in (variants[row], variants[other]) or variants[row] == variants[other]
    ]
    pairs = np.array(sorted(links), dtype=np.int64).reshape(-1, 2)
    return pairs, np.ones(len(pairs), np.float32)
