"""Read, map, write in resumable shards: results are kept per image and computed once.

A folder of rows belongs to one noun and one model fingerprint (``Store.rows``). Each part file holds a
key column and a value column and is renamed into place when whole, so a killed run loses at most one
unfinished shard, and new pictures cost only themselves.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from spn4cir_core.artifacts import whole_file
from spn4cir_core.child_processes import ReadIn
from spn4cir_core.child_processes import readers as pool_of
from spn4cir_core.errors import StoreError
from spn4cir_core.processes import ALONE, Processes
from spn4cir_core.progress import Progress

Item = TypeVar("Item")
KEY, VALUE = "key", "value"


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

    def scan(self) -> Iterator[pa.Table]:
        """Yield the part files' tables one by one; a key may stand in more than one of them."""
        for part in self.parts():
            yield read_part(part)

    def values(self, wanted: Container[str]) -> dict[str, Any]:
        """The values of the wanted keys; the first part file that has a key decides."""
        found: dict[str, Any] = {}
        for part in self.scan():
            for key, value in zip(part[KEY].to_pylist(), part[VALUE].to_pylist(), strict=True):
                if key in wanted:
                    found.setdefault(key, value)
        return found

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


def read_part(part: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a part file, each page compared with its checksum.

    Raises:
        StoreError: it is damaged.
    """
    try:
        table: pa.Table = pq.read_table(part, columns=columns, page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the file system, not of the bytes
            raise
        raise StoreError(f"{part} is damaged ({error}). Delete it and run again: its rows come anew.") from error
    return table


def fill(
    rows: Rows,
    items: Mapping[str, Item],
    read: Callable[[Item], Any],
    compute: Callable[[list[Any]], pa.Array],
    *,
    batch_rows: int,
    shard_rows: int,
    readers: int,
    label: str,
    progress: Progress,
    seconds: defaultdict[str, float],
    processes: Processes = ALONE,
    read_in: ReadIn = "threads",
) -> int:
    """Compute and keep the values of the keys that have none yet.

    Several processes each take their share of the batches, which are those of one process. All have to call
    this, and go on when all values are there.

    Args:
        items: what to read, by key; missing keys are taken in sorted order, so an interrupted run goes
            on with the very batches of an unbroken one.
        read: loads one item (in a reader; the next batch is read while this one is computed).
        compute: maps the loaded items of one batch to an Arrow array of as many values.
        batch_rows: items given to ``compute`` at a time.
        shard_rows: items per part file, rounded up to whole batches; at most this much work is lost to a kill.
        readers: how many items are read at a time.
        read_in: threads, or processes, for which ``read`` must be importable.
        seconds: gets the wall seconds that this process spent waiting for reads, computing, and writing.

    Returns:
        How many values were computed, by all processes.
    """
    missing = sorted(items.keys() - rows.keys())
    processes.wait()  # before the first one writes: all must see the same ones missing
    shard_batches = max(1, -(-shard_rows // batch_rows))
    batches = processes.share([missing[start : start + batch_rows] for start in range(0, len(missing), batch_rows)])
    done = len(items) - len(missing)
    progress(label, done, len(items))
    with pool_of(read_in if batches else "threads", readers) as pool:
        reading = [pool.submit(read, items[key]) for key in batches[0]] if batches else []
        shard_keys: list[str] = []
        shard_values: list[pa.Array] = []
        for number, batch in enumerate(batches):
            started = time.perf_counter()
            loaded = [future.result() for future in reading]
            if number + 1 < len(batches):
                reading = [pool.submit(read, items[key]) for key in batches[number + 1]]
            seconds["read"] += time.perf_counter() - started
            started = time.perf_counter()
            shard_values.append(compute(loaded))
            shard_keys += batch
            seconds["compute"] += time.perf_counter() - started
            if (number + 1) % shard_batches == 0 or number + 1 == len(batches):
                started = time.perf_counter()
                rows.append(shard_keys, pa.concat_arrays(shard_values))
                seconds["write"] += time.perf_counter() - started
                shard_keys, shard_values = [], []
            done = min(done + processes.count * len(batch), len(items))  # the others are about as far
            progress(label, done, len(items))
    processes.wait()
    return len(missing)
