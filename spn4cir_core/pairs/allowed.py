"""Which pairs may be made at all, whatever their rank."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

REFUSALS = {
    1: "drawn target is a near-duplicate of its reference (similarity at or above max_cosine)",
    2: "drawn pair is already annotated",
    3: "drawn target is in its reference's component of near-duplicates",
}


@dataclass
class Allowed:
    """The constraints on the pairs among N images, by row. ``refused`` counts what draws ran into."""

    max_cosine: float
    component: np.ndarray
    """(N,) int: images of one component are near-duplicates; -1: has none."""
    annotated: np.ndarray
    """Sorted int64 ``reference * N + target`` of the pairs that people annotated."""
    category: np.ndarray
    """(N,) int: targets are drawn from the reference's category; all 0 where any category will do."""
    refused: Counter[str] = field(default_factory=Counter)
    _members: dict[int, np.ndarray] = field(default_factory=dict)

    def of_category(self, reference: int) -> np.ndarray:
        """Rows of the reference's category, ascending."""
        category = int(self.category[reference])
        if category not in self._members:
            self._members[category] = np.flatnonzero(self.category == category)
        return self._members[category]

    def check(self, references: np.ndarray, targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """0 where a pair is allowed, else the key of the first of ``REFUSALS`` that applies."""
        code = np.zeros(len(references), np.int8)
        same = (self.component[references] == self.component[targets]) & (self.component[references] >= 0)
        code[same] = 3
        if len(self.annotated):
            keys = references.astype(np.int64) * len(self.component) + targets
            position = np.minimum(np.searchsorted(self.annotated, keys), len(self.annotated) - 1)
            code[self.annotated[position] == keys] = 2
        code[scores >= self.max_cosine] = 1
        return code

    def count(self, codes: np.ndarray) -> None:
        """Count refusals by reason."""
        for code, reason in REFUSALS.items():
            if number := int(np.count_nonzero(codes == code)):
                self.refused[reason] += number
