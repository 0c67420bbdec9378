"""Image inputs: what a network reads of each picture, computed once per picture and stored between runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from spn4cir_core.backbones.base import Backbone, Network
from spn4cir_core.embeddings.picture_vectors import UNIT_VECTORS
from spn4cir_core.engine.processes import ALONE, Processes
from spn4cir_core.engine.progress import Progress, silent
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.images.manifest import PICTURE, read_manifest
from spn4cir_core.images.picture_rows import BATCH_ROWS, READERS, picture_rows
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.checkpoints import Checkpoint


def image_inputs(
    backbone: Backbone,
    network: Network,
    images: pa.Table,
    files: ImageFiles,
    store: Store,
    *,
    progress: Progress = silent,
    seconds: defaultdict[str, float] | None = None,
    batch_rows: int = BATCH_ROWS,
    readers: int = READERS,
    processes: Processes = ALONE,
) -> np.ndarray:
    """(N, …) network inputs of the N rows of ``images`` (columns ``path`` and ``pixel_sha256``), in their order.

    Stored under :meth:`Backbone.inputs_fingerprint`, or as the unit vectors that ``image_embeddings`` keeps where they
    are those of :attr:`Backbone.inputs_encoder`; see :func:`~spn4cir_core.images.picture_rows.picture_rows`.

    Raises:
        InputError: a picture cannot be opened any more, or was replaced since it was listed.
    """
    encoder = backbone.inputs_encoder
    return picture_rows(
        backbone.inputs_fingerprint() if encoder is None else encoder.fingerprint(),
        network.read_images if encoder is None else FirstUse(encoder.start),
        images,
        files.open_as_stored if backbone.reads_stored_pixels else files.open_known,
        store,
        layout=None if encoder is None else UNIT_VECTORS,
        progress=progress,
        seconds=seconds,
        batch_rows=batch_rows,
        readers=readers,
        processes=processes,
    )


def inputs_reader(
    images: Artifact, files: ImageFiles, store: Store, progress: Progress
) -> Callable[[Checkpoint, Sequence[str]], np.ndarray]:
    """What reads a checkpoint's inputs of images, by id, for :func:`~spn4cir_core.evaluation.measure.ask`."""
    manifest = read_manifest(images, *PICTURE)
    row_of = {image_id: row for row, image_id in enumerate(manifest["image_id"].to_pylist())}

    def inputs_of(checkpoint: Checkpoint, image_ids: Sequence[str]) -> np.ndarray:
        rows = manifest.take(pa.array([row_of[image_id] for image_id in image_ids], pa.int64()))
        return image_inputs(checkpoint.backbone, checkpoint.network, rows, files, store, progress=progress)

    return inputs_of
