"""Read, map, write in resumable shards: results are kept per image and computed once.

A folder of rows belongs to one noun and one model fingerprint (``Store.rows``). Each part file holds a
key column and a value column and is renamed into place when whole, so a killed run loses at most one
unfinished shard, and new pictures cost only themselves.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pyarrow as pa

from spn4cir_core.engine.child_processes import ReadIn
from spn4cir_core.engine.child_processes import readers as pool_of
from spn4cir_core.engine.processes import ALONE, Processes
from spn4cir_core.engine.progress import Progress
from spn4cir_core.store.rows import Rows

Item = TypeVar("Item")


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
