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
from spn4cir_core.user_files import parse_json

FIELDS = ("reference", "target", "targets", "modified_text", "modified_texts", "kind", "query_id")
"""``targets``: separated by ``|`` or a list; ``modified_texts``: a list, or a JSON list in a cell."""


def read_csv(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a UTF-8 CSV file with a header line."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        for row in reader:
            if None in row or None in row.values():
                raise InputError(f"{path}: line {reader.line_num} has more or fewer values than the header")
            yield dict(row)


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Objects of a UTF-8 file with one JSON object a line."""
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            row = parse_json(line) if line.strip() else {}
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


def _record(path: Path, number: int, row: Mapping[str, Any], values: Mapping[str, Any]) -> Record:
    if not values["reference"]:
        raise InputError(
            f"{path}: row {number} has no 'reference', its columns are {', '.join(map(str, row))}; "
            "name the column with --column reference=NAME"
        )
    return Record(
        query_id=str(values["query_id"] or f"{path.stem}-{number}"),
        reference=str(values["reference"]),
        targets=_strings(values["targets"], "|") or _strings(values["target"], None),
        texts=_alternatives(values["modified_texts"]) or _strings(values["modified_text"], None),
        kind=str(values["kind"] or ""),
        source={name: value for name, value in row.items() if isinstance(value, str | int | float | bool | list)},
    )


def _alternatives(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = parse_json(value)
    return _strings(value, None)


def _strings(value: Any, separator: str | None) -> tuple[str, ...]:
    """One value or a list of them as non-empty strings."""
    parts = value.split(separator) if separator and isinstance(value, str) else value
    several = parts if isinstance(parts, list) else [parts]
    return tuple(filter(None, (str(part).strip() for part in several if part is not None)))
