"""The table of a ``search_index`` artefact: one row per indexed image, in the order of its vectors; and its reader."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from spn4cir_core.store.artifacts import Artifact

IMAGES_FILE = "search_index.parquet"
TEXTS = ("image_id", "path", "caption", "pixel_sha256", "caption_source", "category", "corpus")
SCHEMA = pa.schema([*((name, pa.string()) for name in TEXTS), ("attributes", pa.map_(pa.string(), pa.string()))])


def read_indexed_images(search_index: Artifact) -> list[dict[str, Any]]:
    """The rows of all columns of :data:`SCHEMA`, attributes as pairs; row i belongs to the i-th target of the index.

    Raises:
        StoreError: a column is missing, since another version wrote the artefact.
    """
    rows: list[dict[str, Any]] = search_index.table(IMAGES_FILE, SCHEMA.names).to_pylist()
    return rows
