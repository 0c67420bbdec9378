"""Parquet tables in row groups of bounded size: no table is built, written or read in one piece.

Arrow cannot read a nested column, such as the metadata of pictures, of which one row group holds over 2 GiB of text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GROUP_BYTES = 64 << 20
"""About how much a row group holds before it is compressed. A row that is larger has a group of its own."""
NUMBER_BYTES, ROWS_READ = 8, 1024


def batches_of(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Rows as record batches of about :data:`GROUP_BYTES`; one empty batch where there are none."""
    pending: list[list[Any]] = [[] for _ in schema.names]
    size, rest = 0, iter(rows)
    while read := list(islice(rest, ROWS_READ)):
        columns = [[row.get(name) for row in read] for name in schema.names]
        size_of_rows = np.sum(list(map(_sizes, columns, schema.types)), axis=0).tolist()
        start = 0
        for number, row_size in enumerate(size_of_rows):
            if size and size + row_size > GROUP_BYTES:
                yield _batch([own + column[start:number] for own, column in zip(pending, columns, strict=True)], schema)
                pending, size, start = [[] for _ in schema.names], 0, number
            size += row_size
        for own, column in zip(pending, columns, strict=True):
            own += column[start:]
    yield _batch(pending, schema)


def _batch(columns: Iterable[list[Any]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array(values, kind) for values, kind in zip(columns, schema.types, strict=True)], schema=schema
    )


def _sizes(values: Sequence[Any], kind: pa.DataType) -> np.ndarray:
    """:func:`size_of` of each value of a column."""
    if pa.types.is_primitive(kind):
        return np.full(len(values), NUMBER_BYTES)
    if pa.types.is_string(kind):
        return np.asarray(_lengths(values) + NUMBER_BYTES)
    if not (pa.types.is_list(kind) or pa.types.is_map(kind)):
        return np.fromiter(map(size_of, values), np.int64, len(values))
    is_list = pa.types.is_list(kind)
    lists = values if is_list else [list(one.items()) if isinstance(one, Mapping) else one for one in values]
    items = list(chain.from_iterable(filter(None, lists)))
    if is_list:
        item_sizes = _sizes(items, kind.value_type)
    else:
        item_sizes = _sizes([key for key, _ in items], kind.key_type) + NUMBER_BYTES
        item_sizes += _sizes([value for _, value in items], kind.item_type)
    before = np.concatenate([[0], np.cumsum(item_sizes)])
    sizes: np.ndarray = np.diff(before[np.cumsum(_lengths(lists))], prepend=0) + NUMBER_BYTES
    return sizes


def _lengths(values: Sequence[Any]) -> np.ndarray:
    """The length of each value; 0 of None."""
    counted = values if None not in values else [value or () for value in values]
    return np.fromiter(map(len, counted), np.int64, len(counted))


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
