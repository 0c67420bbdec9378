"""The table of a ``modified_texts`` artefact, and its reader."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa

from spn4cir_core.store.artifacts import Artifact

MODIFIED_TEXTS_FILE = "modified_texts.parquet"
SCHEMA = pa.schema(
    [
        ("pair_id", pa.string()),
        ("modified_texts", pa.list_(pa.string())),
        ("template_ids", pa.list_(pa.string())),
        ("added", pa.string()),
        ("removed", pa.string()),
        ("token_count", pa.int32()),
        ("fallback", pa.bool_()),
    ]
)
TextColumn = Literal["pair_id", "modified_texts", "template_ids", "added", "removed", "token_count", "fallback"]


def read_modified_texts(modified_texts: Artifact, *columns: TextColumn) -> pa.Table:
    """One row per pair that got a text, sorted by ``pair_id``, with these columns; with all where none is named."""
    return modified_texts.table(MODIFIED_TEXTS_FILE, list(columns) or SCHEMA.names)
