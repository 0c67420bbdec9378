"""Tables about pictures that users supply: CSV of any usual delimiter, JSON, JSON lines and Parquet."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from spn4cir_core.user_files import parse_json, read_json_lines

DELIMITERS = ",;\t|"
"""What may separate the columns of a CSV; the first of them where two give as many columns."""
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
Row = dict[str, Any]


def read_table(path: Path) -> list[Row]:
    """The rows of a table; a file of COCO's layout has one row an image.

    Raises:
        OSError, ValueError, csv.Error: the file cannot be read, or is no table. Arrow's errors are ValueErrors.
    """
    return READERS[path.suffix](path)


def open_text(path: Path) -> TextIO:
    """A text file in UTF-8, or in UTF-16 with a byte-order mark, as spreadsheets write "Unicode text"."""
    with path.open("rb") as stream:
        head = stream.read(2)
    return path.open(encoding="utf-16" if head in UTF_16 else "utf-8-sig", newline="")


def delimiter_of(header: str) -> str:
    """What separates the columns of a header line: whatever gives most of them."""
    counts = {delimiter: len(next(csv.reader([header], delimiter=delimiter), [])) for delimiter in DELIMITERS}
    return max(DELIMITERS, key=lambda delimiter: counts[delimiter])


def csv_reader(stream: TextIO, **options: Any) -> csv.DictReader[str]:
    """A reader of the rows of an open CSV file, with its delimiter taken from the header."""
    delimiter = delimiter_of(stream.readline())
    stream.seek(0)
    return csv.DictReader(stream, delimiter=delimiter, **options)


def is_coco(value: Any) -> bool:
    """Whether a JSON value has COCO's layout: ``images`` with ``id`` and ``file_name``, and ``annotations``."""
    return (
        isinstance(value, dict)
        and all(isinstance(value.get(key), list) for key in ("images", "annotations"))
        and all(isinstance(image, dict) and {"id", "file_name"} <= image.keys() for image in value["images"])
    )


def coco_rows(value: Mapping[str, Any]) -> Iterator[Row]:
    """One row an image: ``file_name``, the ``caption`` (a list, where there are several) and the ``label``."""
    names = {row.get("id"): row.get("name") for row in value.get("categories") or () if isinstance(row, dict)}
    captions: dict[Any, list[str]] = defaultdict(list)
    labels: dict[Any, dict[str, None]] = defaultdict(dict)
    for row in value["annotations"]:
        if not isinstance(row, dict):
            continue
        if isinstance(caption := row.get("caption"), str) and caption.strip():
            captions[row.get("image_id")].append(caption.strip())
        if isinstance(name := names.get(row.get("category_id")), str):
            labels[row.get("image_id")][name] = None
    for image in value["images"]:
        row = {"file_name": image["file_name"]}
        if captions:
            several = captions[image["id"]]
            row["caption"] = several[0] if len(several) == 1 else several or ""
        if labels:
            row["label"] = ", ".join(labels[image["id"]])
        yield row


def as_text(row: Mapping[str, Any]) -> dict[str, str]:
    """A row with all its values as text: empty for a missing one and NaN, JSON for lists and objects."""
    return {str(key): _text(value) for key, value in row.items()}


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, float) and value != value:
        return ""
    return json.dumps(value, ensure_ascii=False, default=str)


def _csv(path: Path) -> list[Row]:
    with open_text(path) as stream:
        return [{key: value for key, value in row.items() if key} for row in csv_reader(stream, restkey="", restval="")]


def _json(path: Path) -> list[Row]:
    value = parse_json(path.read_text(encoding="utf-8-sig"))
    return list(coco_rows(value)) if is_coco(value) else objects(value)


def _jsonl(path: Path) -> list[Row]:
    lines = objects(read_json_lines(path))
    columns = list(dict.fromkeys(key for line in lines for key in line))
    return [{key: line.get(key) for key in columns} for line in lines]


def _parquet(path: Path) -> list[Row]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        rows: list[Row] = [row for batch in file.iter_batches() for row in batch.to_pylist()]
    return rows


def objects(value: Any) -> list[Row]:
    """The value itself, a list of JSON objects.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, list) or any(not isinstance(row, dict) for row in value):
        raise ValueError("it must hold a list of objects, one for each picture")
    return value


READERS: Mapping[str, Callable[[Path], list[Row]]] = {
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
