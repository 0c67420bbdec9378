"""Candidate vectors of images, kept in the store: an index of a grown corpus encodes its new pictures only."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spn4cir_core.engine.batches import RowJob, fill
from spn4cir_core.engine.plugins import as_table
from spn4cir_core.engine.progress import Progress, silent
from spn4cir_core.evaluation.encode import encode_gallery, frozen_tensors
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.models.devices import choose_device
from spn4cir_core.models.fixed_batches import ROWS_OF_VECTORS
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.store.rows import VALUE, Rows
from spn4cir_core.training.checkpoints import Checkpoint, as_module
from spn4cir_core.training.image_inputs import image_inputs

if TYPE_CHECKING:
    from torch import Tensor

GPU_ROWS, CPU_ROWS, SHARD_ROWS = 64, 256, 4096
"""Pictures encoded at a time: on a GPU at once, on a CPU in parts of :data:`.ROWS_OF_VECTORS`, side by side."""


class TargetVectors:
    """The vectors that one target encoder gives; checkpoints with an equal one share them."""

    def __init__(self, checkpoint: Checkpoint, files: ImageFiles, store: Store) -> None:
        self._checkpoint, self._files, self._store = checkpoint, files, store
        self._rows = Rows(store.rows("target_vectors", target_fingerprint(checkpoint)), pa.list_(pa.float32()))

    def missing(self, images: pa.Table) -> pa.Table:
        """The rows of ``images`` (columns ``path`` and ``pixel_sha256``) that have no vectors yet."""
        known = pa.array(self._rows.keys(), pa.string())
        return images.filter(pc.invert(pc.is_in(images["pixel_sha256"], value_set=known)))

    def of(
        self, images: pa.Table, progress: Progress = silent, seconds: defaultdict[str, float] | None = None
    ) -> np.ndarray:
        """(N · T, D) float32 unit vectors of the N images, the T of an image behind one another.

        Raises:
            InputError: a picture cannot be opened any more.
            StoreError: what is kept cannot be read.
        """
        seconds = defaultdict(float) if seconds is None else seconds
        missing, network = self.missing(images), self._checkpoint.network
        inputs = image_inputs(
            self._checkpoint.backbone,
            network,
            missing,
            self._files,
            self._store,
            progress=progress,
            seconds=seconds,
        )
        with self._on_the_fastest_device():
            job = RowJob(
                "candidate vectors",
                self._rows,
                {key: row for row, key in enumerate(missing["pixel_sha256"].to_pylist())},
                lambda row: np.asarray(inputs[row]),
                self._encode,
                CPU_ROWS if choose_device("auto").type == "cpu" else GPU_ROWS,
                SHARD_ROWS,
                readers=1,
            )
            fill(job, progress, seconds)
        return self._rows.vectors(images["pixel_sha256"].to_pylist()).reshape(-1, network.dim)

    @contextmanager
    def _on_the_fastest_device(self) -> Iterator[None]:
        module = as_module(self._checkpoint.network)
        module.to(choose_device("auto"))
        try:
            yield
        finally:
            module.to("cpu")

    def _encode(self, inputs: list[Any]) -> pa.Array:
        """Filled up to whole parts of one shape: a picture's vector does not depend on how many others are new."""
        shape = ROWS_OF_VECTORS if choose_device("auto").type == "cpu" else GPU_ROWS
        padded = np.stack([*inputs, *[inputs[0]] * (-len(inputs) % shape)])
        vectors_ND = encode_gallery(self._checkpoint.network, padded)[: len(inputs)].reshape(len(inputs), -1)
        starts = pa.array(np.arange(len(inputs) + 1) * vectors_ND.shape[1], pa.int32())
        return pa.ListArray.from_arrays(starts, pa.array(vectors_ND.ravel()), type=self._rows.schema.field(VALUE).type)


def target_fingerprint(checkpoint: Checkpoint) -> str:
    """Of all that decides a candidate's vectors: what a picture is read as, and the target encoder's weights.

    Stage 2 freezes the latter, so that its fingerprint is stage 1's.
    """
    digest = hashlib.sha256()
    for tensor in frozen_tensors(checkpoint.network):
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(_bytes(tensor))
    return fingerprint(
        {
            "backbone": as_table(checkpoint.backbone),
            "outside": checkpoint.backbone.restoring_fingerprint(),
            "inputs": checkpoint.backbone.inputs_fingerprint(),
            "weights": digest.hexdigest(),
            "version": 2,
        }
    )


def _bytes(tensor: Tensor) -> bytes:
    import torch

    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
