"""The rows of texts in a column, by bisection: a million texts are no million Python objects."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

IN_MEMORY = 1 << 16
"""At most so many texts of a column are Python objects for as long as it is looked up."""
READ_TOGETHER = 1 << 14


class Texts(Sequence[str]):
    """N texts of an Arrow array; one is a Python object while it is read."""

    def __init__(self, column: pa.Array) -> None:
        self.column = column

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, row: Any) -> Any:
        return self.column[row].as_py() if isinstance(row, int) else self.column[row].to_pylist()

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self.column), READ_TOGETHER):
            yield from self.column.slice(start, READ_TOGETHER).to_pylist()


class TextRows(Mapping[str, int]):
    """Text → its row in a column of N texts; of equal texts the last row."""

    def __init__(self, column: pa.Array) -> None:
        self._texts = Texts(column)
        is_sorted = pc.all(pc.less_equal(column[:-1], column[1:]), min_count=0).as_py() if len(column) else True
        self._order_N: np.ndarray | range = range(len(column)) if is_sorted else pc.sort_indices(column).to_numpy()
        self._step = max(1, -(-len(column) // IN_MEMORY))
        every = pa.array(self._order_N[:: self._step], pa.int64())
        self._every: list[str] = column.take(every).to_pylist()

    def __getitem__(self, text: str) -> int:
        first = max(0, (bisect_right(self._every, text) - 1) * self._step)
        among = range(first, min(len(self._texts), first + self._step))
        at = among[0] - 1 + bisect_right(among, text, key=self._at) if among else -1
        if at < 0 or self._at(at) != text:
            raise KeyError(text)
        return int(self._order_N[at])

    def _at(self, position: int) -> str:
        """The text at a position of the sorted order."""
        text: str = self._texts[int(self._order_N[position])]
        return text

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)
