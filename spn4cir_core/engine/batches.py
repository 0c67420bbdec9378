"""Read, map, write in resumable shards: results are stored per image and computed once.

A folder of rows belongs to one noun and one model fingerprint (``Store.rows``). Each part file holds a
key column and a value column and is renamed into place when whole, so a killed run loses at most one
unfinished shard, and new pictures cost only themselves.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Generic, TypeVar

import pyarrow as pa

from spn4cir_core.engine.child_processes import ReadIn
from spn4cir_core.engine.child_processes import readers as pool_of
from spn4cir_core.engine.processes import ALONE, Processes
from spn4cir_core.engine.progress import Progress
from spn4cir_core.errors import InputError
from spn4cir_core.store.rows import Rows

Item = TypeVar("Item")

PARTS_PER_READER = 4
"""Parts of a batch that each reader gets, one after the other: handing over a file costs as much as hashing it."""
PREPARED_AHEAD = 512
"""Items that are read and prepared, or wait for it, beyond the batch that is computed: what is prepared is small."""


@dataclass(frozen=True)
class Preparation:
    """What readers do with several loaded items together, such as a network's forward pass, while others are read."""

    prepare: Callable[[list[Any]], Iterable[Any]]
    """From loaded items to as many that ``compute`` gets in their place; called by several threads at once."""
    rows: int
    """Loaded items given to ``prepare`` at a time, at the most."""
    workers: Callable[[int], AbstractContextManager[Executor]]
    """The pool for a number of readers."""


@dataclass(frozen=True)
class RowJob(Generic[Item]):
    """Values to compute, one per key, and how many at a time."""

    label: str
    """Shown with the progress: ``captioning``."""
    rows: Rows
    """The store's rows, which hold the values that exist and receive the new ones."""
    items: Mapping[str, Item]
    """Input of each value by key. Missing keys are computed in sorted order, so an interrupted run continues with the
    same batches as an uninterrupted one."""
    read: Callable[[Item], Any] | None
    """Loads one item, in a reader: the next batch is read while this one is computed. None: there is nothing to load,
    and ``compute`` gets the items themselves."""
    compute: Callable[[list[Any]], pa.Array]
    """Maps the loaded items of one batch to an Arrow array of as many values."""
    batch_rows: int
    """Items given to ``compute`` at a time."""
    shard_rows: int
    """Items per part file, rounded up to whole batches; a kill loses at most this much work."""
    readers: int
    """Number of items that are read at a time."""
    read_in: ReadIn = "threads"
    """Threads, or processes, for which ``read`` must be importable."""
    preparation: Preparation | None = None

    def batches(self, keys: list[str]) -> list[list[str]]:
        """The keys in batches of ``batch_rows``."""
        return [keys[start : start + self.batch_rows] for start in range(0, len(keys), self.batch_rows)]

    @property
    def shard_batches(self) -> int:
        """Batches per part file."""
        return max(1, -(-self.shard_rows // self.batch_rows))


def fill(job: RowJob[Item], progress: Progress, seconds: defaultdict[str, float], processes: Processes = ALONE) -> int:
    """Compute and store the values of the keys that have none yet.

    Several processes each compute their share of the batches, which are the same as those of one process. All must
    call this function; it returns when all values are stored.

    Args:
        seconds: gets the wall seconds that this process spent waiting for reads, computing, and writing; waiting for
            readers that prepare what they read, which takes them longer, is computing.

    Returns:
        How many values were computed, by all processes.

    Raises:
        InputError: a batch gave more or fewer values than it has items.
    """
    items, rows = job.items, job.rows
    missing = sorted(items.keys() - rows.keys())
    processes.wait()  # before the first one writes: all must see the same ones missing
    batches = processes.share(job.batches(missing))
    done = len(items) - len(missing)
    progress(job.label, done, len(items))
    waiting = "read" if job.preparation is None else "compute"
    shard_keys: list[str] = []
    shard_values: list[pa.Array] = []
    with closing(_loaded(job, batches)) as loading:
        for number, batch in enumerate(batches):
            started = time.perf_counter()
            loaded = next(loading)
            seconds[waiting] += time.perf_counter() - started
            started = time.perf_counter()
            shard_values.append(_computed(job, loaded))
            shard_keys += batch
            seconds["compute"] += time.perf_counter() - started
            if (number + 1) % job.shard_batches == 0 or number + 1 == len(batches):
                started = time.perf_counter()
                rows.append(shard_keys, pa.concat_arrays(shard_values))
                seconds["write"] += time.perf_counter() - started
                shard_keys, shard_values = [], []
            done = min(done + processes.count * len(batch), len(items))  # the others are about as far
            progress(job.label, done, len(items))
    processes.wait()
    return len(missing)


def filled(
    job: RowJob[Item], progress: Progress, seconds: defaultdict[str, float], processes: Processes = ALONE
) -> tuple[dict[str, Any], int]:
    """The values of all keys, which are read where the store has them; and how many it had not. See :func:`fill`."""
    computed = fill(job, progress, seconds, processes)
    return job.rows.values(job.items), computed


def _loaded(job: RowJob[Any], batches: Sequence[Sequence[str]]) -> Generator[list[Any], None, None]:
    """The loaded items of each batch; while one is computed, the next one is read."""
    items, read = job.items, job.read
    if read is None or not batches:
        yield from ([items[key] for key in batch] for batch in batches)
        return
    prepared = job.preparation
    workers = pool_of(job.read_in, job.readers) if prepared is None else prepared.workers(job.readers)
    part = max(1, job.batch_rows // (PARTS_PER_READER * job.readers))
    rows, ahead = (part, 0) if prepared is None else (prepared.rows, -(-PREPARED_AHEAD // job.batch_rows))
    load, coming = partial(_loaded_group, read, prepared), iter(batches)
    with workers as pool:

        def reading(batch: Sequence[str]) -> list[Future[list[Any]]]:
            starts = range(0, len(batch), rows)
            return [pool.submit(load, [items[key] for key in batch[start : start + rows]]) for start in starts]

        begun = deque(map(reading, islice(coming, 1 + ahead)))
        while begun:
            loaded = [value for group in begun.popleft() for value in group.result()]
            begun.extend(map(reading, islice(coming, 1)))
            yield loaded


def _loaded_group(read: Callable[[Any], Any], prepared: Preparation | None, group: list[Any]) -> list[Any]:
    loaded = [read(item) for item in group]
    return loaded if prepared is None else list(prepared.prepare(loaded))


def _computed(job: RowJob[Any], loaded: list[Any]) -> pa.Array:
    values = job.compute(loaded)
    if len(values) != len(loaded):
        raise InputError(
            f"{job.label}: {len(values)} answers for a batch of {len(loaded)}; the plug-in must give one for each"
        )
    return values


def text_values(texts: Sequence[str | None]) -> pa.Array:
    """The texts that a plug-in gives for a batch, as an Arrow array; null where one failed.

    Raises:
        InputError: it gives something else than a list of texts.
    """
    if isinstance(texts, str):
        raise InputError(f"a list of texts is expected for a batch, one for each; the plug-in gave the text {texts!r}")
    for text in (listed := list(texts)):
        if not isinstance(text, str | None):
            raise InputError(f"a text or None is expected of the plug-in, got {type(text).__name__} {text!r:.200}")
    return pa.array(listed, pa.string())
