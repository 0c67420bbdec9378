"""Which images of an index may be hits: those of a category, a corpus, or with a value of an attribute."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spn4cir_core.errors import InputError
from spn4cir_core.search.index_table import IndexedImages

Where = Mapping[str, str | Collection[str]]
"""Column → the value that an image must have, or several of which it must have one; all columns must agree."""
COLUMNS = ("category", "corpus")
"""Columns that every image has, beside its attributes."""
MOST_SHOWN = 12


class Filters:
    """Values of every column of the N images of an index."""

    def __init__(self, images: IndexedImages) -> None:
        self._images = images

    @cached_property
    def _rows_of(self) -> dict[str, dict[str, np.ndarray]]:
        """Column → value → (K,) rows of the images that have it; made at the first use, since it reads every row."""
        own = {column: _rows_of_values(self._images.columns[column]) for column in COLUMNS}
        rows_of = {column: rows for column, rows in own.items() if rows}
        for column, rows_of_value in self._rows_of_attributes():
            if column in rows_of:  # an attribute may not hide a column
                has_own_N = np.asarray(pc.not_equal(self._images.columns[column], ""))
                rows_of_value = {value: rows_K[~has_own_N[rows_K]] for value, rows_K in rows_of_value.items()}
            if merged := _merged(rows_of.get(column, {}), rows_of_value):
                rows_of[column] = merged
        return dict(sorted(rows_of.items()))

    def _rows_of_attributes(self) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """Name → value → rows of one attribute after another."""
        attributes = self._images.attributes
        offsets = np.asarray(attributes.offsets)
        row_E = np.repeat(np.arange(len(attributes), dtype=np.int32), np.diff(offsets))
        names, values = (part[offsets[0] : offsets[-1]] for part in (attributes.keys, attributes.items))
        for name, entry_P in _rows_of_values(names).items():
            rows_of_value = _rows_of_values(values.take(pa.array(entry_P)))
            yield name, {value: row_E[entry_P[at_K]] for value, at_K in rows_of_value.items()}

    def values(self) -> dict[str, dict[str, int]]:
        """Column → how many images have each of its values, the commonest first; columns sorted, no empty values."""
        return {
            column: {value: len(rows_K) for value, rows_K in sorted(values.items(), key=lambda pair: -len(pair[1]))}
            for column, values in self._rows_of.items()
        }

    def allowed(self, where: Where) -> np.ndarray | None:
        """(N,) bool: which images may be hits; None where there is no condition.

        Raises:
            InputError: no image has such a column, or none all these values.
        """
        wanted = {column: {values} if isinstance(values, str) else set(values) for column, values in where.items()}
        if not wanted:
            return None
        fits_N = np.ones(len(self._images), bool)
        for column, values in wanted.items():
            has_value_N = np.zeros(len(self._images), bool)
            for value in values:
                has_value_N[self._rows_of.get(column, {}).get(value, [])] = True
            fits_N &= has_value_N
        if not fits_N.any():
            raise InputError(self._none(wanted))
        return fits_N

    def _none(self, wanted: Mapping[str, Collection[str]]) -> str:
        known = self.values()
        for column, values in wanted.items():
            if column not in known:
                return f"no image has a column {column!r}; there are: {_some(known)}"
            if not known[column].keys() & set(values):
                given = ", ".join(sorted(map(repr, values)))
                return f"no image has {column} {given}; there are: {_some(known[column])}"
        return f"no image fits all of {', '.join(wanted)} at once; leave one out"


def _rows_of_values(column: pa.Array) -> dict[str, np.ndarray]:
    """Value → (K,) int32 rows that have it, ascending; values as they first come, without the empty one."""
    if not len(column):
        return {}
    encoded = column.fill_null("").dictionary_encode()
    number_N = encoded.indices.to_numpy(zero_copy_only=False)
    rows = np.argsort(number_N, kind="stable").astype(np.int32)
    ends = np.cumsum(np.bincount(number_N, minlength=len(encoded.dictionary)))
    return {
        value: rows_K
        for value, rows_K in zip(encoded.dictionary.to_pylist(), np.split(rows, ends[:-1]), strict=True)
        if value
    }


def _merged(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    merged = dict(one)
    for value, rows_K in other.items():
        if len(rows_K):
            merged[value] = np.union1d(merged[value], rows_K) if value in merged else rows_K
    return merged


def metadata_of(row: Mapping[str, Any]) -> dict[str, str]:
    """Column → value of one row of the index's table, without empty ones; an attribute may not hide a column."""
    own = {column: row[column] for column in COLUMNS if row[column]}
    return {name: value for name, value in row["attributes"] if value} | own


def parse_where(texts: Iterable[str]) -> dict[str, set[str]]:
    """Conditions such as ``colour=red``; several of one column mean any of the values.

    Raises:
        InputError: a text is no such condition.
    """
    where: dict[str, set[str]] = {}
    for text in texts:
        column, equals, value = (part.strip() for part in text.partition("="))
        if not (column and equals and value):
            raise InputError(f"the condition {text!r} is not COLUMN=VALUE, such as colour=red")
        where.setdefault(column, set()).add(value)
    return where


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:MOST_SHOWN]) + (" …" if len(listed) > MOST_SHOWN else "")
