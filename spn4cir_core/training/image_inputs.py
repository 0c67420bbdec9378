"""Image inputs: what a network reads of each picture, made once per picture and kept between runs."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from spn4cir_core.artifacts import Store
from spn4cir_core.backbones.base import Backbone, Network
from spn4cir_core.batches import KEY, VALUE, Rows, fill
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.processes import ALONE, Processes
from spn4cir_core.progress import Progress, silent


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
    :meth:`Backbone.inputs_fingerprint`, is not read again. Several processes share the reading.

    Raises:
        InputError: a picture cannot be opened any more.
    """
    keys: list[str] = images["pixel_sha256"].to_pylist()
    paths: Mapping[str, str] = dict(zip(keys, images["path"].to_pylist(), strict=True))
    rows = Rows(store.rows("image_inputs", backbone.inputs_fingerprint()), pa.large_binary())
    fill(
        rows,
        paths,
        files.open,
        lambda pictures: pa.array([_as_bytes(row) for row in network.read_images(pictures)], pa.large_binary()),
        batch_rows=batch_rows,
        shard_rows=2048,
        readers=readers,
        label="image inputs",
        progress=progress,
        seconds=defaultdict(float) if seconds is None else seconds,
        processes=processes,
    )
    return _load(rows, keys)


def _load(rows: Rows, keys: Sequence[str]) -> np.ndarray:
    places: dict[str, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    inputs: np.ndarray | None = None
    for part in rows.scan():
        for key, value in zip(part[KEY].to_pylist(), part[VALUE], strict=True):
            if key in places:
                row = np.load(io.BytesIO(value.as_py()), allow_pickle=False)
                inputs = np.empty((len(keys), *row.shape), row.dtype) if inputs is None else inputs
                inputs[places[key]] = row
    return np.empty((0,)) if inputs is None else inputs


def _as_bytes(row: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, row, allow_pickle=False)
    return stream.getvalue()
