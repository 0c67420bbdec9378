"""Values kept per key in part files, each written whole: what captions, embeddings and texts reuse row by row."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spn4cir_core.errors import StoreError
from spn4cir_core.store.whole_file import whole_file

KEY, VALUE = "key", "value"


def row_key(*texts: str) -> str:
    """The key of a value that these texts decide."""
    return hashlib.blake2b("\0".join(texts).encode(errors="surrogatepass"), digest_size=16).hexdigest()


class Rows:
    """Values kept per key in the part files of one folder."""

    def __init__(self, folder: Path, value_type: pa.DataType) -> None:
        self.folder = folder
        self.schema = pa.schema([(KEY, pa.string()), (VALUE, value_type)])

    def parts(self) -> list[Path]:
        """The finished part files, in the order of their names."""
        return sorted(self.folder.glob("part-*.parquet"))

    def keys(self) -> set[str]:
        """Every key that has a value."""
        return {key for part in self.parts() for key in read_part(part, [KEY])[KEY].to_pylist()}

    def valid_keys(self) -> Iterator[list[str]]:
        """The keys of each part file whose value is not null; values are read only where the file has a null."""
        for path in self.parts():
            if _has_no_null(path):
                yield read_part(path, [KEY])[KEY].to_pylist()
            else:
                part = read_part(path)
                yield part.filter(part[VALUE].is_valid())[KEY].to_pylist()

    def scan(self) -> Iterator[pa.Table]:
        """Yield the part files' tables one by one; a key may stand in more than one of them."""
        for part in self.parts():
            yield read_part(part)

    def values(self, wanted: Container[str]) -> dict[str, Any]:
        """The values of the wanted keys; the first part file that has a key decides."""
        values: dict[str, Any] = {}
        for part in self.scan():
            for key, value in zip(part[KEY].to_pylist(), part[VALUE].to_pylist(), strict=True):
                if key in wanted:
                    values.setdefault(key, value)
        return values

    def vectors(self, keys: Sequence[str]) -> np.ndarray:
        """(N, D) values that are lists of equal length, in the order of the keys, which may repeat.

        Raises:
            StoreError: a key has no value, or values of several lengths are there.
        """
        rows_of: dict[str, list[int]] = {}
        for row, key in enumerate(keys):
            rows_of.setdefault(key, []).append(row)
        vectors_ND = np.zeros((0, 0), self.schema.field(VALUE).type.value_type.to_pandas_dtype())
        for path in self.parts():
            if rows_of.keys().isdisjoint(read_part(path, [KEY])[KEY].to_pylist()):
                continue  # nothing of it is wanted: its values are not read
            part = read_part(path)
            if part[VALUE].null_count:
                part = part.filter(part[VALUE].is_valid())
            if not len(part):
                continue
            flat = part[VALUE].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(len(part), -1)
            if not len(vectors_ND):
                vectors_ND = np.zeros((len(keys), flat.shape[1]), vectors_ND.dtype)
            if flat.shape[1] != vectors_ND.shape[1]:
                raise StoreError(
                    f"{self.folder} holds vectors of {vectors_ND.shape[1]} and of {flat.shape[1]} numbers: the model "
                    "behind the same name has changed. Pin its revision, delete this folder and run again"
                )
            pairs = [(row, there) for there, key in enumerate(part[KEY].to_pylist()) for row in rows_of.pop(key, ())]
            if pairs:
                rows, there = np.array(pairs).T
                vectors_ND[rows] = flat[there]
        if rows_of:
            raise StoreError(f"{self.folder} has no value of {len(rows_of)} keys, such as {next(iter(rows_of))!r}")
        return vectors_ND

    def append(self, keys: Sequence[str], values: pa.Array) -> None:
        """Write one part file, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_arrays([pa.array(keys, pa.string()), values], schema=self.schema)
        with whole_file(self.folder / f"part-{self._next():020d}-{uuid4().hex[:8]}.parquet") as scratch:
            pq.write_table(table, scratch, compression="zstd", write_page_checksum=True)

    def _next(self) -> int:
        """One more than the last part's number, so that no clock decides which part comes first."""
        numbers = [int(part.name.split("-")[1]) for part in self.parts()]
        return max(numbers, default=0) + 1


class GivenRows(Rows):
    """Keeps no row whose value is null: what failed is computed again by the next run."""

    def append(self, keys: Sequence[str], values: pa.Array) -> None:
        """Write one part file of the rows that have a value."""
        given = [index for index, value in enumerate(values) if value.is_valid]
        if given:
            super().append([keys[index] for index in given], values.take(pa.array(given, pa.int64())))


def _has_no_null(part: Path) -> bool:
    """Whether a part file's own figures say that no value, and nothing in a value, is null."""
    try:
        footer = pq.read_metadata(part)
    except (pa.ArrowInvalid, OSError):
        return False  # reading it says what is wrong
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    figures = [group.column(column).statistics for group in groups for column in range(group.num_columns)]
    return all(own is not None and own.has_null_count and own.null_count == 0 for own in figures)


def read_part(part: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a part file, each page compared with its checksum.

    Raises:
        StoreError: it is damaged.
    """
    try:
        table: pa.Table = pq.ParquetFile(part, page_checksum_verification=True).read(columns)
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the file system, not of the bytes
            raise
        raise StoreError(f"{part} is damaged ({error}). Delete it and run again: its rows come anew.") from error
    return table
