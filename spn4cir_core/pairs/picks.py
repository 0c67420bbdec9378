"""The pairs picked among N images, by row number; and the vectors they are picked from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Picks:
    """P pairs: rows of reference and target, rank of the target, cosine."""

    reference: np.ndarray
    target: np.ndarray
    rank: np.ndarray
    score: np.ndarray

    @classmethod
    def of(cls, rows: list[tuple[int, int, int, float]]) -> Picks:
        """From (reference, target, rank, score) tuples."""
        columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
        return cls(*(np.array(column, kind) for column, kind in zip(columns, "iiif", strict=True)))

    @classmethod
    def joined(cls, parts: list[Picks]) -> Picks:
        """All parts one after the other."""
        if not parts:
            return cls.of([])
        names = ("reference", "target", "rank", "score")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def take(self, rows: np.ndarray) -> Picks:
        """Those of a mask, or of an order."""
        return Picks(self.reference[rows], self.target[rows], self.rank[rows], self.score[rows])

    def by_reference(self) -> Picks:
        """Ascending references; the picks of one reference stay in their order."""
        return self.take(np.argsort(self.reference, kind="stable"))


class Vectors:
    """N rows of a (memory-mapped) array of unit vectors, read a few at a time."""

    def __init__(self, stored: np.ndarray, rows: np.ndarray | None = None) -> None:
        self.stored = stored
        self.rows = rows
        self.dimensions = int(stored.shape[1])

    def __len__(self) -> int:
        return len(self.stored) if self.rows is None else len(self.rows)

    def take(self, rows: np.ndarray | slice) -> np.ndarray:
        """The chosen rows as they are stored."""
        return np.asarray(self.stored[rows if self.rows is None else self.rows[rows]])

    def matrix(self) -> np.ndarray:
        """All rows as float32; no copy where they are stored so."""
        return np.ascontiguousarray(self.take(slice(None)), np.float32)

    def cosines(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """(P,) float64 cosines of row pairs; every pair's sum runs in the same order, however many there are."""
        sums = [
            (self.take(left[start : start + 4096]).astype(np.float64) * self.take(right[start : start + 4096])).sum(1)
            for start in range(0, len(left), 4096)
        ]
        return np.concatenate(sums) if sums else np.zeros(0)
