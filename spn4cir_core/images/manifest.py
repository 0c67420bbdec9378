"""The tables of the ``images`` artefact: the manifest with its duplicates and its dropped files."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa

from spn4cir_core.store.artifacts import Artifact

MANIFEST_FILE, DUPLICATES_FILE, DROPS_FILE = "images.parquet", "duplicates.parquet", "drops.parquet"
Column = Literal[
    "image_id",
    "corpus",
    "category",
    "path",
    "width",
    "height",
    "bytes",
    "sha256",
    "pixel_sha256",
    "phash",
    "group",
    "split",
    "attributes",
]
"""Columns of the manifest, which has one row per distinct picture."""
PICTURE: tuple[Column, ...] = ("image_id", "path", "pixel_sha256")
"""The columns that are needed to open pictures: see :meth:`ImageFiles.open_known`."""

IMAGE_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("corpus", pa.string()),
        ("category", pa.string()),
        ("path", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("pixel_sha256", pa.string()),
        ("phash", pa.uint64()),
        ("group", pa.string()),
        ("split", pa.string()),
        ("attributes", pa.map_(pa.string(), pa.string())),
    ]
)
DUPLICATE_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("path", pa.string()),
        ("duplicate_of", pa.string()),
        ("attributes", pa.map_(pa.string(), pa.string())),
    ]
)
DROP_SCHEMA = pa.schema([("path", pa.string()), ("reason", pa.string()), ("detail", pa.string())])


def read_manifest(images: Artifact, *columns: Column) -> pa.Table:
    """The manifest's rows in their order, with these columns; with all columns where none is named."""
    return images.table(MANIFEST_FILE, list(columns) or IMAGE_SCHEMA.names)


def manifest_column(images: Artifact, column: Column) -> dict[str, Any]:
    """The values of one column of the manifest by image id."""
    table = read_manifest(images, "image_id", column)
    return dict(zip(table["image_id"].to_pylist(), table[column].to_pylist(), strict=True))


def read_duplicates(images: Artifact) -> pa.Table:
    """One row per exact duplicate: its path, and in ``duplicate_of`` the image id of the picture that stands for it."""
    return images.table(DUPLICATES_FILE, DUPLICATE_SCHEMA.names)


def read_dropped_files(images: Artifact) -> pa.Table:
    """One row per dropped file: path, reason, detail."""
    return images.table(DROPS_FILE, DROP_SCHEMA.names)
