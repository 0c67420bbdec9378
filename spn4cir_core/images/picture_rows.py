"""What a frozen network reads of each picture: computed once per picture, kept in the store and shared."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
import pyarrow as pa
from PIL import Image

from spn4cir_core.engine.batches import Preparation, RowJob, fill
from spn4cir_core.engine.npy_rows import mapped_rows, scatter_rows, scratch_file
from spn4cir_core.engine.processes import ALONE, Processes
from spn4cir_core.engine.progress import Progress, silent
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.models.fixed_batches import single_thread_workers
from spn4cir_core.models.lite0_levels import ROWS_ON_CPU, Lite0Levels
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.rows import KEY, VALUE, Rows

SHARD_ROWS = 256
"""Pictures per part file. One is in memory at a time: 64 MB of 288-pixel squares, and five times that to unpack."""
BATCH_ROWS, READERS = 64, 2
LOOK_ROWS = 2 * ROWS_ON_CPU
"""Pictures that a thread opens and passes through a network together: the network needs not see all of them."""


@dataclass(frozen=True)
class RowLayout:
    """How the store keeps what a network reads of pictures."""

    noun: str
    type: pa.DataType
    encode: Callable[[np.ndarray], pa.Array]
    """From (B, …) rows to B values; null for a row that is not to be read."""
    decode: Callable[[pa.ChunkedArray], np.ndarray]
    """From R values, none of them null, to (R, …) rows."""


def picture_rows(
    fingerprint: str,
    read: Callable[[Sequence[Image.Image]], np.ndarray],
    images: pa.Table,
    open_picture: Callable[[tuple[str, str]], Image.Image],
    store: Store,
    *,
    label: str = "image inputs",
    layout: RowLayout | None = None,
    progress: Progress = silent,
    seconds: defaultdict[str, float] | None = None,
    batch_rows: int = BATCH_ROWS,
    readers: int = READERS,
    processes: Processes = ALONE,
    beside_opening: bool = False,
) -> np.ndarray:
    """(N, …) rows of the N pictures of ``images`` (columns ``path`` and ``pixel_sha256``), in their order.

    Pictures of equal pixels are read once. What has been read before, by whichever stage or recipe under the same
    fingerprint, is not read again. The array is a memory map of a scratch file beside the store's rows, which goes when
    the last process that has it ends, so it may be larger than the memory.

    Args:
        fingerprint: of all that decides ``read``, which gives (B, …) rows of B pictures.
        open_picture: opens a picture by its path and ``pixel_sha256``.
        layout: how the store keeps them; by default any array, under ``image_inputs``.
        processes: several share the reading and one scratch file; all of them must call this.
        beside_opening: whether the threads that open pictures call ``read``, each on itself alone, of a few pictures.

    Raises:
        InputError: a picture cannot be opened any more, or was replaced since it was listed.
    """
    keys: list[str] = images["pixel_sha256"].to_pylist()
    pictures = {key: (path, key) for path, key in zip(images["path"].to_pylist(), keys, strict=True)}
    layout = ARRAYS if layout is None else layout
    rows = Rows(store.rows(layout.noun, fingerprint), layout.type)
    job = RowJob(
        label,
        rows,
        pictures,
        open_picture,
        lambda loaded: layout.encode(np.stack(loaded) if beside_opening else read(loaded)),
        batch_rows,
        SHARD_ROWS,
        readers,
        preparation=Preparation(read, LOOK_ROWS, single_thread_workers) if beside_opening else None,
    )
    fill(job, progress, defaultdict(float) if seconds is None else seconds, processes)
    return _in_order(rows, keys, layout, processes) if keys else np.empty((0,))


def level_rows(
    trunk: Lite0Levels,
    images: pa.Table,
    files: ImageFiles,
    store: Store,
    *,
    progress: Progress = silent,
    seconds: defaultdict[str, float] | None = None,
    processes: Processes = ALONE,
) -> np.ndarray:
    """(N, 5528) float16 features of N pictures by the network that tags, picture vectors and a backbone share."""
    return picture_rows(
        trunk.fingerprint(),
        FirstUse(trunk.start),
        images,
        files.open_known,
        store,
        label="looking at pictures",
        progress=progress,
        seconds=seconds,
        processes=processes,
        beside_opening=trunk.device == "cpu",
    )


class NewLevels:
    """Features of pictures that are open anyway, kept where :func:`level_rows` of later stages reads them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._unwritten: dict[Lite0Levels, dict[str, bytes]] = {}

    def append(self, trunk: Lite0Levels, pixel_sha256: Sequence[str], features: Sequence[np.ndarray]) -> None:
        """Take (5528,) float16 features of pictures with hashes of their pixels."""
        unwritten = self._unwritten.setdefault(trunk, {})
        unwritten.update(zip(pixel_sha256, map(_as_bytes, features), strict=True))
        if len(unwritten) >= SHARD_ROWS:
            self._write(trunk)

    def write(self) -> None:
        """Store what has not been stored yet."""
        for trunk in [trunk for trunk, unwritten in self._unwritten.items() if unwritten]:
            self._write(trunk)

    def _write(self, trunk: Lite0Levels) -> None:
        unwritten = self._unwritten.pop(trunk)
        _rows(self._store, trunk.fingerprint()).append(list(unwritten), pa.array(unwritten.values(), pa.large_binary()))


def _rows(store: Store, fingerprint: str) -> Rows:
    return Rows(store.rows(ARRAYS.noun, fingerprint), ARRAYS.type)


def level_keys(trunk: Lite0Levels, store: Store) -> set[str]:
    """``pixel_sha256`` of the pictures whose features are in the store."""
    return _rows(store, trunk.fingerprint()).keys()


def _in_order(rows: Rows, keys: Sequence[str], layout: RowLayout, processes: Processes) -> np.ndarray:
    """Rows of the keys, zeros for null, mapped from a scratch file that is written in one pass over the parts."""
    with scratch_file(rows.folder, processes) as file:
        if processes.first:
            _write(rows, keys, layout, file)
        processes.wait()
        inputs = mapped_rows(file)
        processes.wait()
    return inputs


def _write(rows: Rows, keys: Sequence[str], layout: RowLayout, file: IO[bytes]) -> None:
    numbers_of: dict[str, list[int]] = {}
    for number, key in enumerate(keys):
        numbers_of.setdefault(key, []).append(number)
    for table in rows.scan():
        part = table.filter(table[VALUE].is_valid()) if table[VALUE].null_count else table
        numbers = [numbers_of.pop(key, []) for key in part[KEY].to_pylist()]
        if any(numbers):
            block = layout.decode(part[VALUE])
            scatter_rows(file.fileno(), len(keys), block, numbers)


def _from_bytes(values: pa.ChunkedArray) -> np.ndarray:
    """(R, …) rows that :func:`_as_bytes` saved one by one. They differ in their numbers alone."""
    array = values.combine_chunks()
    first = array[0].as_py()
    row: np.ndarray = np.load(io.BytesIO(first), allow_pickle=False)
    start = array.offset * len(first)
    saved = np.frombuffer(array.buffers()[2], np.uint8)[start : start + len(array) * len(first)]
    numbers = np.ascontiguousarray(saved.reshape(len(array), len(first))[:, len(first) - row.nbytes :])
    rows: np.ndarray = numbers.view(row.dtype).reshape(len(array), *row.shape)
    return rows


def _as_bytes(row: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, row, allow_pickle=False)
    return stream.getvalue()


def _arrays(rows: np.ndarray) -> pa.Array:
    return pa.array([_as_bytes(row) for row in rows], pa.large_binary())


ARRAYS = RowLayout("image_inputs", pa.large_binary(), _arrays, _from_bytes)
