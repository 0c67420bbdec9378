"""The tables of an ``eval_report`` artefact, and the readers of those that are read again."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from spn4cir_core.evaluation.base import MAP_K
from spn4cir_core.store.artifacts import Artifact

RECALL_FILE, PRECISION_FILE, RANKS_FILE = "recall.parquet", "mean_average_precision.parquet", "ranks.parquet"
QUERIES_FILE, HITS_FILE, SEARCHED_FILE = "queries.parquet", "hits.parquet", "searched.parquet"
DIFFERENCES_FILE, COMPOSITION_FILE = "differences.parquet", "composition.parquet"
GALLERY_SIZES_FILE = "gallery_sizes.parquet"
AVERAGE_PRECISION = f"average_precision_at_{MAP_K}"

RANKS = pa.schema(
    [
        ("query_set", pa.string()),
        ("query_id", pa.string()),
        ("kind", pa.string()),
        ("model", pa.string()),
        ("query", pa.string()),
        ("rank", pa.int32()),
        ("targets", pa.int32()),
        ("gallery", pa.int32()),
        (AVERAGE_PRECISION, pa.float64()),
    ]
)
RECALL = pa.schema(
    [
        ("query_set", pa.string()),
        ("kind", pa.string()),
        ("model", pa.string()),
        ("query", pa.string()),
        ("k", pa.int32()),
        ("recall", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("queries", pa.int32()),
    ]
)
PRECISION = pa.schema(
    [("mean_average_precision" if field.name == "recall" else field.name, field.type) for field in RECALL]
)
DIFFERENCES = pa.schema(
    [
        ("query_set", pa.string()),
        ("kind", pa.string()),
        ("model", pa.string()),
        ("query", pa.string()),
        ("minus_model", pa.string()),
        ("minus_query", pa.string()),
        ("k", pa.int32()),
        ("difference", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("queries", pa.int32()),
        ("p", pa.float64()),
    ]
)
COMPOSITION = pa.schema(
    [
        ("query_set", pa.string()),
        ("kind", pa.string()),
        ("model", pa.string()),
        ("k", pa.int32()),
        ("composed", pa.float64()),
        ("best_query", pa.string()),
        ("best", pa.float64()),
        ("gap", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("queries", pa.int32()),
    ]
)
GALLERY_SIZES = pa.schema(
    [
        ("query_set", pa.string()),
        ("model", pa.string()),
        ("query", pa.string()),
        ("k", pa.int32()),
        ("gallery", pa.int32()),
        ("recall", pa.float64()),
    ]
)

QUERIES = pa.schema(
    [
        *((name, pa.string()) for name in ("query_set", "query_id", "kind", "reference_id", "modified_text")),
        ("target_ids", pa.list_(pa.string())),
        ("weight", pa.float64()),
    ]
)
NEWER_COLUMNS: dict[str, Any] = {"weight": 1.0}
"""Columns of queries that a report from before has not, with what they were."""
HITS = pa.schema(
    [
        *((name, pa.string()) for name in ("query_set", "query_id", "model")),
        ("image_ids", pa.list_(pa.string())),
    ]
)
SEARCHED = pa.schema(
    [
        *((name, pa.string()) for name in ("query_set", "model")),
        ("k", pa.int32()),
        *((name, pa.float64()) for name in ("recall", "exact_recall", "difference")),
    ]
)
SCHEMAS: dict[str, pa.Schema] = {
    RECALL_FILE: RECALL,
    PRECISION_FILE: PRECISION,
    RANKS_FILE: RANKS,
    QUERIES_FILE: QUERIES,
    HITS_FILE: HITS,
    SEARCHED_FILE: SEARCHED,
    DIFFERENCES_FILE: DIFFERENCES,
    COMPOSITION_FILE: COMPOSITION,
    GALLERY_SIZES_FILE: GALLERY_SIZES,
}
"""File → its columns."""


def read_report_table(report: Artifact, file: str, *columns: str) -> pa.Table:
    """One table of a report, with these columns of :data:`SCHEMAS`; with all of them where none is named.

    Raises:
        StoreError: the report has no such table, or a column is missing, since another version wrote it.
    """
    return report.table(file, list(columns) or SCHEMAS[file].names)


def read_rows_of_set(report: Artifact, file: str, query_set: str) -> list[dict[str, Any]]:
    """The rows of one query set in a table of a report; errors as :func:`read_report_table`."""
    newer = {name: value for name, value in NEWER_COLUMNS.items() if name in SCHEMAS[file].names}
    missing = newer.keys() - report.table(file).column_names if newer else set()
    table = read_report_table(report, file, *(name for name in SCHEMAS[file].names if name not in missing))
    rows: list[dict[str, Any]] = table.filter(pc.equal(table["query_set"], query_set)).to_pylist()
    return [{**row, **{name: newer[name] for name in missing}} for row in rows]
