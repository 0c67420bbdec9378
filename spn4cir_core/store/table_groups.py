"""Parquet tables in row groups of bounded size: no table is built, written or read in one piece.

Arrow cannot read a nested column, such as the metadata of pictures, of which one row group holds over 2 GiB of text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_BYTES = 64 << 20
"""About how much a row group holds before it is compressed. A row that is larger has a group of its own."""
NUMBER_BYTES = 8


def batches_of(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Rows as record batches of about :data:`GROUP_BYTES`; one empty batch where there are none."""
    pending: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        row_size = size_of(row)
        if pending and size + row_size > GROUP_BYTES:
            yield pa.RecordBatch.from_pylist(pending, schema)
            pending, size = [], 0
        pending.append(row)
        size += row_size
    yield pa.RecordBatch.from_pylist(pending, schema)


def size_of(value: Any) -> int:
    """About the bytes that a plain value takes in a table: its characters, and :data:`NUMBER_BYTES` for each value."""
    if isinstance(value, str | bytes):
        return len(value) + NUMBER_BYTES
    if isinstance(value, Mapping):
        return sum(map(size_of, value.values()))
    if isinstance(value, list | tuple):
        return NUMBER_BYTES + sum(map(size_of, value))
    return NUMBER_BYTES


def write_batches(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write a Parquet file with a row group for each batch."""
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file with row groups of about :data:`GROUP_BYTES`."""
    rows = max(1, len(table) * GROUP_BYTES // max(table.nbytes, 1))
    pq.write_table(table, path, compression="zstd", row_group_size=min(rows, max(1, len(table))))


def read_table(file: pq.ParquetFile, columns: list[str] | None) -> pa.Table:
    """Columns of a file, group by group: those named in their order, or all that it has."""
    groups = [file.read_row_group(number, columns) for number in range(file.num_row_groups)]
    table = pa.concat_tables(groups) if groups else file.schema_arrow.empty_table()
    return table if columns is None else table.select(columns)
