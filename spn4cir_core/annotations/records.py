"""Annotated triplets of other layouts as records, and how records become ``triplets.csv`` or ``queries.csv``."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spn4cir_core.errors import InputError
from spn4cir_core.images.base import QUERIES, TRIPLETS
from spn4cir_core.store.outputs import output_file
from spn4cir_core.user_files import read_json_file

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
    soft_targets: Mapping[str, Any] = field(default_factory=dict)
    """Scores that people gave other images as answers; above zero they are right ones."""

    @property
    def fault(self) -> str:
        """Why it is neither a triplet nor a query; empty if it is."""
        return "no target" if not self.targets else "no text" if not self.texts else ""

    def triplet_rows(self, path: Callable[[str], str]) -> list[dict[str, str]]:
        """Its rows of ``triplets.csv``, one per target; ``path`` gives an image's path by its name."""
        return [
            {
                "reference": path(self.reference),
                "target": path(target),
                "modified_text": self.texts[0],
                "modified_texts": _json(self.texts) if len(self.texts) > 1 else "",
                "kind": self.kind,
                "soft_targets": self._soft_targets(path),
                SOURCE: _json(self.source),
            }
            for target in self.targets
        ]

    def _soft_targets(self, path: Callable[[str], str]) -> str:
        return _json({path(name): score for name, score in self.soft_targets.items()}) if self.soft_targets else ""

    def query_rows(self, path: Callable[[str], str]) -> list[dict[str, str]]:
        """Its one row of ``queries.csv``; ``path`` gives an image's path by its name."""
        row = {
            "query_id": self.query_id,
            "reference": path(self.reference),
            "modified_text": self.texts[0],
            "targets": "|".join(map(path, self.targets)),
            "kind": self.kind,
            SOURCE: _json(self.source),
        }
        return [row]


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
    rows_of = Record.triplet_rows if out.name == TRIPLETS else Record.query_rows
    drops: Counter[str] = Counter()
    rows = []
    for record in records:
        if record.fault:
            drops[record.fault] += 1
        else:
            rows += rows_of(record, paths.path)
    if not rows:
        raise InputError(f"nothing to import to {out}: {dict(drops) or 'the files are empty'}")
    _write_csv(rows, out)
    return len(rows), drops


def _write_csv(rows: list[dict[str, str]], out: Path) -> None:
    with output_file(out) as scratch, scratch.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
