"""A ``false_negatives`` artefact by hand."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from spn4cir_core.negatives.read_false_negatives import SCHEMA
from spn4cir_core.store.artifacts import Artifact, Store

Row = tuple[str, str, str]
"""Triplet, image, reason."""


def written(folder: Path, rows: list[Row], rows_per_group: int) -> Artifact:
    """An artefact of these rows in Parquet row groups of that size."""
    store = Store(folder)
    table = pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)
    with store.writing("false_negatives", "f", {}) as draft:
        pq.write_table(table, draft.file("false_negatives.parquet"), row_group_size=rows_per_group)
    artifact = store.get("false_negatives", "f")
    assert artifact is not None
    return artifact
