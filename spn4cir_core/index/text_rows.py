"""Columns as Python reads them, and the rows of texts: by bisection, as a million texts are no million objects."""

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


def as_numbers(column: pa.Array) -> np.ndarray:
    """The numbers of an Arrow array without nulls, where they lie.

    Arrow's own way imports pandas, which takes as long as opening an index.
    """
    numbers: np.ndarray = np.from_dlpack(column)
    return numbers


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
    """Text → its row in a column of N texts; of equal texts the last row.

    A dictionary of few texts; of more, one of ``IN_MEMORY`` evenly spaced ones leads to those that are read.
    """

    def __init__(self, column: pa.Array) -> None:
        self._texts, self._row_of = Texts(column), dict[str, int]()
        self._step = -(-len(column) // IN_MEMORY)
        if self._step <= 1:
            self._row_of.update(zip(column.to_pylist(), range(len(column)), strict=True))
            return
        is_sorted = pc.all(pc.less_equal(column[:-1], column[1:])).as_py()
        every = pa.array(range(0, len(column), self._step), pa.int64())
        self._order_N: np.ndarray | None = None
        if not is_sorted:
            order_N = pc.sort_indices(column)
            self._order_N, every = as_numbers(order_N), order_N.take(every)
        self._every: list[str] = column.take(every).to_pylist()

    def __getitem__(self, text: str) -> int:
        if self._step <= 1:
            return self._row_of[text]
        first = (bisect_right(self._every, text) - 1) * self._step
        if first < 0:
            raise KeyError(text)
        if self._order_N is None:
            texts: list[str] = self._texts.column.slice(first, self._step).to_pylist()
            at = bisect_right(texts, text) - 1
            row, same = first + at, texts[at]
        else:  # reading a few one by one is faster than taking all that are between
            row_K = self._order_N[first : first + self._step].tolist()
            row = row_K[bisect_right(row_K, text, key=self._texts.__getitem__) - 1]
            same = self._texts[row]
        if same != text:
            raise KeyError(text)
        return row

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)
