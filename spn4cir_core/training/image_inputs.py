"""Image inputs: what a network reads of each picture, computed once per picture and stored between runs."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from typing import IO

import numpy as np
import pyarrow as pa

from spn4cir_core.backbones.base import Backbone, Network
from spn4cir_core.engine.batches import RowJob, fill
from spn4cir_core.engine.processes import ALONE, Processes
from spn4cir_core.engine.progress import Progress, silent
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.rows import KEY, VALUE, Rows
from spn4cir_core.training.npy_rows import mapped_rows, scratch_file, write_rows

SHARD_ROWS = 256
"""Pictures per part file. One is in memory at a time: 64 MB of 288-pixel squares, and five times that to unpack."""


def image_inputs(
    backbone: Backbone,
    network: Network,
    images: pa.Table,
    files: ImageFiles,
    store: Store,
    *,
    progress: Progress = silent,
    seconds: defaultdict[str, float] | None = None,
    batch_rows: int = 64,
    readers: int = 2,
    processes: Processes = ALONE,
) -> np.ndarray:
    """(N, …) network inputs of the N rows of ``images`` (columns ``path`` and ``pixel_sha256``), in their order.

    Rows of equal pixels are read once. What has been read before, by whichever stage or recipe with the same
    :meth:`Backbone.inputs_fingerprint`, is not read again. The array is a memory map of a scratch file beside the
    store's rows, which goes when the last process that has it ends, so it may be larger than the memory.

    Args:
        processes: several share the reading and one scratch file; all of them must call this.

    Raises:
        InputError: a picture cannot be opened any more, or was replaced since it was listed.
    """
    keys: list[str] = images["pixel_sha256"].to_pylist()
    pictures = {key: (path, key) for path, key in zip(images["path"].to_pylist(), keys, strict=True)}
    rows = Rows(store.rows("image_inputs", backbone.inputs_fingerprint()), pa.large_binary())
    job = RowJob(
        "image inputs",
        rows,
        pictures,
        files.open_as_stored if backbone.reads_stored_pixels else files.open_known,
        lambda pictures: pa.array([_as_bytes(row) for row in network.read_images(pictures)], pa.large_binary()),
        batch_rows,
        SHARD_ROWS,
        readers,
    )
    fill(job, progress, defaultdict(float) if seconds is None else seconds, processes)
    return _in_order(rows, keys, processes) if keys else np.empty((0,))


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
