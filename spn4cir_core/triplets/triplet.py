"""What a triplet is, the row of ``triplets.parquet``; and what it needs of its images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

SCHEMA = pa.schema(
    [
        ("triplet_id", pa.string()),
        ("reference_id", pa.string()),
        ("target_id", pa.string()),
        ("reference_path", pa.string()),
        ("target_path", pa.string()),
        ("reference_caption", pa.string()),
        ("target_caption", pa.string()),
        ("modified_texts", pa.list_(pa.string())),
        ("origin", pa.string()),
        ("kind", pa.string()),
        ("template_ids", pa.list_(pa.string())),
        ("rank", pa.int32()),
        ("score", pa.float32()),
        ("weight", pa.float32()),
        ("repeats", pa.int32()),
        ("split", pa.string()),
    ]
)


class Triplet(NamedTuple):
    """Reference image, modified texts and target image; a missing caption is empty."""

    triplet_id: str
    reference_id: str
    target_id: str
    reference_path: str
    target_path: str
    reference_caption: str
    target_caption: str
    modified_texts: tuple[str, ...]
    origin: str
    kind: str
    template_ids: tuple[str, ...]
    rank: int | None
    score: float | None
    weight: float
    repeats: int
    split: str


class Picture(NamedTuple):
    """An image of the manifest with what triplets need of it; a missing caption is empty."""

    path: str
    pixel_sha256: str
    caption: str
    split: str
    component: int


def normalised(text: str) -> str:
    """A text with its spelling evened out, to find equal ones: lower case, single spaces, no final stop."""
    return " ".join(text.lower().split()).rstrip(" .!")


def triplet_of(row: Mapping[str, Any]) -> Triplet:
    """A row of ``triplets.parquet`` or ``refused.parquet``; other columns are left out."""
    values = {name: row[name] for name in Triplet._fields}
    return Triplet(**values | {name: tuple(row[name]) for name in ("modified_texts", "template_ids")})


def triplet_table(triplets: Iterable[Triplet]) -> pa.Table:
    """The triplets as a table, in their order."""
    return pa.Table.from_arrays(triplet_columns(list(triplets)), schema=SCHEMA)


def triplet_columns(triplets: Sequence[Triplet]) -> list[pa.Array]:
    """The columns of :data:`SCHEMA`."""
    columns = dict(zip(Triplet._fields, zip(*triplets, strict=True), strict=True)) if triplets else {}
    return [pa.array(columns.get(field.name, ()), field.type) for field in SCHEMA]
