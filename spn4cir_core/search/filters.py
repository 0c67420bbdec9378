"""Which images of an index may be hits: those of a category, a corpus, or with a value of an attribute."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from functools import cached_property
from typing import Any

from spn4cir_core.errors import InputError

Where = Mapping[str, str | Collection[str]]
"""Column → the value that an image must have, or several of which it must have one; all columns must agree."""
COLUMNS = ("category", "corpus")
"""Columns that every image has, beside its attributes."""
MOST_SHOWN = 12


class Filters:
    """Values of every column of the N images of an index."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows = rows

    @cached_property
    def _rows_of(self) -> dict[str, dict[str, set[int]]]:
        """Column → value → rows of the images that have it; made at the first use, since it reads every row."""
        rows_of: dict[str, dict[str, set[int]]] = {}
        for number, row in enumerate(self._rows):
            for column, value in metadata_of(row).items():
                rows_of.setdefault(column, {}).setdefault(value, set()).add(number)
        return dict(sorted(rows_of.items()))

    def values(self) -> dict[str, dict[str, int]]:
        """Column → how many images have each of its values, the commonest first; columns sorted, no empty values."""
        return {
            column: {value: len(rows) for value, rows in sorted(values.items(), key=lambda pair: -len(pair[1]))}
            for column, values in self._rows_of.items()
        }

    def rows(self, where: Where) -> Set[int] | None:
        """Rows of the images that may be hits; None where there is no condition.

        Raises:
            InputError: no image has such a column, or none all these values.
        """
        wanted = {column: {values} if isinstance(values, str) else set(values) for column, values in where.items()}
        if not wanted:
            return None
        parts = [
            set[int]().union(*(self._rows_of.get(column, {}).get(value, ()) for value in values))
            for column, values in wanted.items()
        ]
        fitting = set.intersection(*parts)
        if not fitting:
            raise InputError(self._none(wanted))
        return fitting

    def _none(self, wanted: Mapping[str, Collection[str]]) -> str:
        known = self.values()
        for column, values in wanted.items():
            if column not in known:
                return f"no image has a column {column!r}; there are: {_some(known)}"
            if not known[column].keys() & set(values):
                given = ", ".join(sorted(map(repr, values)))
                return f"no image has {column} {given}; there are: {_some(known[column])}"
        return f"no image fits all of {', '.join(wanted)} at once; leave one out"


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
