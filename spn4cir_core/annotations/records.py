"""Annotated triplets of other layouts as records, and how records become ``triplets.csv`` or ``queries.csv``."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spn4cir_core.annotations.annotation_files import QUERIES, TRIPLETS
from spn4cir_core.artifacts import whole_file
from spn4cir_core.errors import InputError

SOURCE = "source"
"""Column that holds the row as it stood in the imported file, as JSON: nothing of it is lost."""


@dataclass(frozen=True)
class Record:
    """A triplet or query of an imported file; images by the names they have there."""

    query_id: str
    reference: str
    targets: tuple[str, ...]
    texts: tuple[str, ...]
    """Alternatives of the modified text; the first one is the query's."""
    kind: str
    source: Mapping[str, Any]


@dataclass(frozen=True)
class ImagePaths:
    """Turns an image's name into a path relative to the corpus: by a table, else by a pattern with ``{name}``."""

    pattern: str = "{name}"
    table: Mapping[str, str] | None = None

    def path(self, name: str) -> str:
        """Path of an image.

        Raises:
            InputError: there is a table and the name is not in it.
        """
        if self.table is None:
            return self.pattern.replace("{name}", name)
        if name not in self.table:
            raise InputError(f"image {name!r} is not in the table of image paths; give all tables with --image-table")
        return self.table[name].removeprefix("./")

    @classmethod
    def read(cls, files: Iterable[Path], pattern: str) -> ImagePaths:
        """Read tables from name to path (CIRR's ``image_splits``, the ``.images.json`` of an export).

        Raises:
            InputError: a file is not a JSON object of strings, or the pattern has no ``{name}``.
        """
        table: dict[str, str] = {}
        for file in files:
            rows = read_json_file(file)
            if not isinstance(rows, dict) or not all(isinstance(path, str) for path in rows.values()):
                raise InputError(f"{file} is not a JSON object from image name to path, like CIRR's image_splits")
            table |= rows
        if "{name}" not in pattern:
            raise InputError(f"image path pattern {pattern!r} has no {{name}}; write for example 'images/{{name}}.png'")
        return cls(pattern, table or None)


def read_json_file(path: Path) -> Any:
    """JSON that a user supplied.

    Raises:
        InputError: the file cannot be read or is not JSON in UTF-8.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error


def write_records(records: Iterable[Record], paths: ImagePaths, out: Path) -> tuple[int, Counter[str]]:
    """Write the annotation file of a corpus folder; its name says which one it is.

    Args:
        out: ``…/triplets.csv`` (trained on) or ``…/queries.csv`` (evaluated on).

    Returns:
        Rows written, and rows left out by reason.

    Raises:
        InputError: ``out`` has another name, an image has no path, or the file cannot be written.
    """
    if out.name not in (TRIPLETS, QUERIES):
        raise InputError(f"cannot import to {out}: a corpus folder holds {TRIPLETS} (trained on) or {QUERIES}")
    row_of = _triplet_row if out.name == TRIPLETS else _query_row
    left_out: Counter[str] = Counter()
    rows = []
    for record in records:
        if not record.targets:
            left_out["no target"] += 1
        elif not record.texts:
            left_out["no text"] += 1
        else:
            rows += row_of(record, paths)
    if not rows:
        raise InputError(f"nothing to import to {out}: {dict(left_out) or 'the files are empty'}")
    _write_csv(rows, out)
    return len(rows), left_out


def _triplet_row(record: Record, paths: ImagePaths) -> list[dict[str, str]]:
    return [
        {
            "reference": paths.path(record.reference),
            "target": paths.path(target),
            "modified_text": record.texts[0],
            "modified_texts": _json(record.texts) if len(record.texts) > 1 else "",
            "kind": record.kind,
            SOURCE: _json(record.source),
        }
        for target in record.targets
    ]


def _query_row(record: Record, paths: ImagePaths) -> list[dict[str, str]]:
    return [
        {
            "query_id": record.query_id,
            "reference": paths.path(record.reference),
            "modified_text": record.texts[0],
            "targets": "|".join(map(paths.path, record.targets)),
            "kind": record.kind,
            SOURCE: _json(record.source),
        }
    ]


def _write_csv(rows: list[dict[str, str]], out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(out) as scratch, scratch.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            stream.flush()
    except OSError as error:
        raise InputError(f"cannot write {out}: {error}; name a file in a folder you may write") from error


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
