"""Groups of vectors that are equal or nearly so, such as those of one placeholder picture saved many times."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

NEAR = 0.02
"""Distance of unit vectors up to which they count as nearly equal: a cosine of 0.9998."""
DIRECTIONS = 12
CELL_WIDTH = 16 * NEAR
"""Wide beside what the projections of near vectors differ by, so that few groups are cut at a border."""
BLOCK_ROWS = 1 << 16


def groups_of_equals(vectors_VD: np.ndarray, least: int) -> list[np.ndarray]:
    """Rows of each group of at least ``least`` vectors within ``NEAR`` of the group's first, each sorted.

    Vectors are compared only where random projections of them fall into one cell of a grid, so that a group may come
    in a few parts. A row is in one group at most.
    """
    groups = [group for rows in _crowded_cells(vectors_VD, least) for group in _around_firsts(vectors_VD, rows, least)]
    return sorted(groups, key=lambda rows: int(rows[0]))


def _crowded_cells(vectors_VD: np.ndarray, least: int) -> Iterator[np.ndarray]:
    directions_DP = np.random.default_rng(0).standard_normal((vectors_VD.shape[1], DIRECTIONS)).astype(np.float32)
    cells_VP = np.concatenate(
        [
            np.floor(vectors_VD[start : start + BLOCK_ROWS] @ directions_DP / CELL_WIDTH).astype(np.int16)
            for start in range(0, len(vectors_VD), BLOCK_ROWS)
        ]
    )
    order = np.lexsort(cells_VP.T)
    borders = np.flatnonzero((np.diff(cells_VP[order], axis=0) != 0).any(axis=1)) + 1
    for rows in np.split(order, borders):
        if len(rows) >= least:
            yield np.sort(rows)


def _around_firsts(vectors_VD: np.ndarray, rows: np.ndarray, least: int) -> Iterator[np.ndarray]:
    while len(rows) >= least:
        near = np.linalg.norm(vectors_VD[rows] - vectors_VD[rows[0]], axis=1) <= NEAR
        if np.count_nonzero(near) >= least:
            yield rows[near]
        rows = rows[~near]
