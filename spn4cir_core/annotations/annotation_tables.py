"""The tables of the ``annotations`` artefact: annotated triplets, composed queries, and rows that are not used."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa

from spn4cir_core.store.artifacts import Artifact

TRIPLETS_FILE, QUERIES_FILE, DROPS_FILE = "annotated_triplets.parquet", "queries.parquet", "drops.parquet"
TripletColumn = Literal[
    "annotation_id",
    "corpus",
    "reference_id",
    "target_id",
    "modified_text",
    "modified_texts",
    "kind",
    "source",
    "soft_targets",
]
"""Columns of the annotated triplets."""
TRIPLET_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("annotation_id", "corpus", "reference_id", "target_id", "modified_text")),
        ("modified_texts", pa.list_(pa.string())),
        ("kind", pa.string()),
        ("source", pa.string()),
        ("soft_targets", pa.map_(pa.string(), pa.float32())),
    ]
)
QUERY_SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("corpus", pa.string()),
        ("reference_id", pa.string()),
        ("modified_text", pa.string()),
        ("target_ids", pa.list_(pa.string())),
        ("kind", pa.string()),
        ("source", pa.string()),
        ("more_reference_ids", pa.list_(pa.string())),
        ("negative_ids", pa.list_(pa.string())),
        ("paraphrases", pa.list_(pa.string())),
        ("weight", pa.float64()),
    ]
)
NEWER_QUERY_COLUMNS = ("more_reference_ids", "negative_ids", "paraphrases", "weight")
"""Columns that a table from before has not: lists are empty then, and the weight is 1."""
DROP_SCHEMA = pa.schema([("file", pa.string()), ("line", pa.int32()), ("reason", pa.string()), ("detail", pa.string())])


def read_annotated_triplets(annotations: Artifact, *columns: TripletColumn) -> pa.Table:
    """One row per annotated triplet, with these columns; with all columns where none is named."""
    return annotations.table(TRIPLETS_FILE, list(columns) or TRIPLET_SCHEMA.names)


def read_queries(annotations: Artifact) -> list[dict[str, Any]]:
    """The composed queries, one row each, with every column of :data:`QUERY_SCHEMA`."""
    columns = annotations.table(QUERIES_FILE).column_names
    missing = [name for name in NEWER_QUERY_COLUMNS if name not in columns]
    rows = annotations.table(QUERIES_FILE, [name for name in QUERY_SCHEMA.names if name not in missing]).to_pylist()
    lists = NEWER_QUERY_COLUMNS[:-1]
    return [row | {name: row.get(name) or [] for name in lists} | {"weight": row.get("weight") or 1.0} for row in rows]


def read_dropped_rows(annotations: Artifact) -> list[dict[str, Any]]:
    """Rows of annotation files that are not used, or used in part: file, line, reason, detail."""
    rows: list[dict[str, Any]] = annotations.table(DROPS_FILE, DROP_SCHEMA.names).to_pylist()
    return rows
