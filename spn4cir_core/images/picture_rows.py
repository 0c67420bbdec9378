"""What a frozen network reads of each picture: computed once per picture, kept in the store and shared."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import IO

import numpy as np
import pyarrow as pa
from PIL import Image

from spn4cir_core.engine.batches import RowJob, fill
from spn4cir_core.engine.npy_rows import mapped_rows, scratch_file, write_rows
from spn4cir_core.engine.processes import ALONE, Processes
from spn4cir_core.engine.progress import Progress, silent
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.models.lite0_levels import Lite0Levels
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.rows import KEY, VALUE, Rows

SHARD_ROWS = 256
"""Pictures per part file. One is in memory at a time: 64 MB of 288-pixel squares, and five times that to unpack."""
BATCH_ROWS, READERS = 64, 2


def picture_rows(
    fingerprint: str,
    read: Callable[[Sequence[Image.Image]], np.ndarray],
    images: pa.Table,
    open_picture: Callable[[tuple[str, str]], Image.Image],
    store: Store,
    *,
    label: str = "image inputs",
    progress: Progress = silent,
    seconds: defaultdict[str, float] | None = None,
    batch_rows: int = BATCH_ROWS,
    readers: int = READERS,
    processes: Processes = ALONE,
) -> np.ndarray:
    """(N, …) rows of the N pictures of ``images`` (columns ``path`` and ``pixel_sha256``), in their order.

    Pictures of equal pixels are read once. What has been read before, by whichever stage or recipe under the same
    fingerprint, is not read again. The array is a memory map of a scratch file beside the store's rows, which goes when
    the last process that has it ends, so it may be larger than the memory.

    Args:
        fingerprint: of all that decides ``read``, which gives (B, …) rows of B pictures.
        open_picture: opens a picture by its path and ``pixel_sha256``.
        processes: several share the reading and one scratch file; all of them must call this.

    Raises:
        InputError: a picture cannot be opened any more, or was replaced since it was listed.
    """
    keys: list[str] = images["pixel_sha256"].to_pylist()
    pictures = {key: (path, key) for path, key in zip(images["path"].to_pylist(), keys, strict=True)}
    rows = Rows(store.rows("image_inputs", fingerprint), pa.large_binary())
    job = RowJob(
        label,
        rows,
        pictures,
        open_picture,
        lambda pictures: pa.array([_as_bytes(row) for row in read(pictures)], pa.large_binary()),
        batch_rows,
        SHARD_ROWS,
        readers,
    )
    fill(job, progress, defaultdict(float) if seconds is None else seconds, processes)
    return _in_order(rows, keys, processes) if keys else np.empty((0,))


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
    )


def _in_order(rows: Rows, keys: Sequence[str], processes: Processes) -> np.ndarray:
    """Rows of the keys, mapped from a scratch file that is written in one pass over the parts."""
    with scratch_file(rows.folder, processes) as file:
        if processes.first:
            _write(rows, keys, file)
        processes.wait()
        inputs = mapped_rows(file)
        processes.wait()
    return inputs


def _write(rows: Rows, keys: Sequence[str], file: IO[bytes]) -> None:
    rows_of: dict[str, list[int]] = {}
    for number, key in enumerate(keys):
        rows_of.setdefault(key, []).append(number)
    for part in rows.scan():
        for key, value in zip(part[KEY].to_pylist(), part[VALUE], strict=True):
            for number in rows_of.pop(key, ()):
                row = np.load(io.BytesIO(value.as_py()), allow_pickle=False)
                write_rows(file.fileno(), len(keys), number, row[None])


def _as_bytes(row: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, row, allow_pickle=False)
    return stream.getvalue()
