"""Plain CSV, JSON lines and Parquet of annotated triplets, one row each."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spn4cir_core.annotations.records import Record
from spn4cir_core.errors import InputError
from spn4cir_core.images.user_tables import csv_reader, open_text
from spn4cir_core.user_files import iterate_json_lines, parse_json

FIELDS = ("reference", "target", "targets", "modified_text", "modified_texts", "kind", "query_id")
"""``targets``: separated by ``|`` or a list; ``modified_texts``: a list, or a JSON list in a cell."""
LISTS = ("targets", "modified_text", "modified_texts")
"""Fields that may hold a list of strings."""


def read_csv(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a CSV file with a header line, whatever separates its columns."""
    with open_text(path) as stream:
        reader = csv_reader(stream)
        for row in reader:
            if None in row or None in row.values():
                raise InputError(f"{path}: line {reader.line_num} has more or fewer values than the header")
            yield dict(row)


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Objects of a UTF-8 file with one JSON object a line."""
    for number, row in iterate_json_lines(path):
        if not isinstance(row, dict):
            raise InputError(f"{path}: line {number} is not a JSON object")
        if row:
            yield row


def read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a Parquet file, a batch at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            yield from batch.to_pylist()


READERS: Mapping[str, Callable[[Path], Iterator[dict[str, Any]]]] = {
    "csv": read_csv,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
}


def read_table(path: Path, layout: str, columns: Mapping[str, str]) -> Iterator[Record]:
    """Triplets or queries in the order of the file.

    Args:
        layout: ``csv``, ``jsonl`` or ``parquet``.
        columns: the file's name of a field, where it is another one: ``{"reference": "source_image"}``.

    Raises:
        InputError: the file cannot be read, a row lacks a field, or a field does not exist.
    """
    if unknown := columns.keys() - set(FIELDS):
        raise InputError(f"no field {min(unknown)!r}; the fields of a triplet are {', '.join(FIELDS)}")
    try:
        for number, row in enumerate(READERS[layout](path)):
            yield _record(path, number, row, {field: row.get(columns.get(field, field)) for field in FIELDS})
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as {layout}: {error}") from error


def _record(path: Path, number: int, row: Mapping[str, Any], cells: Mapping[str, Any]) -> Record:
    values = {field: None if _is_missing(value) else _parsed(field, value) for field, value in cells.items()}
    if values["reference"] is None:
        raise InputError(
            f"{path}: row {number} has no 'reference', its columns are {', '.join(map(str, row))}; "
            "name the column with --column reference=NAME"
        )
    for field in FIELDS:
        _check_value(f"{path}: row {number}: {field!r}", field, values[field])
    return Record(
        query_id=f"{path.stem}-{number}" if values["query_id"] is None else str(values["query_id"]),
        reference=values["reference"],
        targets=_strings(values["targets"], "|") or _strings(values["target"], None),
        texts=_strings(values["modified_texts"], None) or _strings(values["modified_text"], None),
        kind=values["kind"] or "",
        source={name: value for name, value in row.items() if isinstance(value, str | int | float | bool | list)},
    )


def _is_missing(value: Any) -> bool:
    """Whether a cell is empty; NaN is how tables of numbers say so."""
    return value is None or value == "" or value != value


def _check_value(where: str, field: str, value: Any) -> None:
    """Names and texts are strings, several of them a list of strings; a query's id may be a number.

    Raises:
        InputError: the value is of another type.
    """
    fits = value is None or isinstance(value, str)
    fits = fits or (field == "query_id" and isinstance(value, int) and not isinstance(value, bool))
    if field in LISTS and isinstance(value, list):
        fits = all(isinstance(item, str) for item in value)
    if not fits:
        expected = "a text or a list of texts" if field in LISTS else "a text"
        raise InputError(
            f"{where} is {str(value)[:80]!r}, of type {type(value).__name__}; it must be {expected}"
            + ("" if field in LISTS or not isinstance(value, list) else ", several targets are in 'targets'")
        )


def _parsed(field: str, value: Any) -> Any:
    is_json = field == "modified_texts" and isinstance(value, str) and value.lstrip().startswith("[")
    return parse_json(value) if is_json else value


def _strings(value: Any, separator: str | None) -> tuple[str, ...]:
    """One value or a list of them as non-empty strings."""
    parts = value.split(separator) if separator and isinstance(value, str) else value
    several = parts if isinstance(parts, list) else [parts]
    return tuple(filter(None, (str(part).strip() for part in several if part is not None)))
