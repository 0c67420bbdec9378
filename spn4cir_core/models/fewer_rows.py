"""Batches of fewer rows where these give the same bytes as a full batch: one text need not cost as much as sixteen.

Whether they do hangs on the kernels that a processor's libraries pick by shape. It is learnt in use, of many rows: a
single row may agree by chance where most do not.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import numpy as np

ROWS_COMPARED = 32
"""So many rows of a shape must agree before it is computed alone. Of MiniLM's rows that need not agree a quarter do."""


class FewerRows:
    """Chooses the number of rows of a batch, of shapes that any hashable key names. Several threads may ask."""

    def __init__(self, full: int) -> None:
        """``full``: rows of a full batch, a power of two."""
        self._sizes = [1 << power for power in range(full.bit_length())]
        self._agreed: dict[tuple[object, int], int] = {}
        """Rows that agreed so far, by shape and size."""
        self._refused: set[tuple[object, int]] = set()
        self._lock = Lock()

    def __call__(self, shape: object, rows: int, computed: Callable[[int], np.ndarray]) -> np.ndarray:
        """What a full batch gives for the first rows of it.

        Args:
            rows: how many of a batch's rows are wanted, at most a full batch's.
            computed: (rows, …) results of a batch of that size, with any rows behind the wanted ones.
        """
        *smaller, full = [size for size in self._sizes if size >= rows]
        size = next((size for size in smaller if (shape, size) not in self._refused), full)
        few = computed(size)
        if size == full or self._agreed.get((shape, size), 0) >= ROWS_COMPARED:
            return few
        all_rows = computed(full)
        with self._lock:
            if np.array_equal(few, all_rows):
                self._agreed[shape, size] = self._agreed.get((shape, size), 0) + rows
            else:
                self._refused.add((shape, size))
        return all_rows
