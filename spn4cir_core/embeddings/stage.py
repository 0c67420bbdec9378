"""Stage ``image_embeddings``: one unit vector per image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spn4cir_core.embeddings.picture_vectors import UNIT_VECTORS
from spn4cir_core.embeddings.settings import EmbeddingsInput
from spn4cir_core.embeddings.vectors import EMBEDDINGS_FILE, IMAGE_ID, write_vectors
from spn4cir_core.engine.batches import RowJob, fill
from spn4cir_core.engine.growth import Corpus, Load
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ImageFiles, image_files
from spn4cir_core.images.manifest import PICTURE, read_manifest
from spn4cir_core.images.picture_rows import level_rows
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.models.lite0_levels import Lite0Levels
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.rows import Rows

BLOCK_ROWS = 4096
SCHEMA = pa.schema([(IMAGE_ID, pa.string())])
NOT_FINITE = "the encoder gave no finite, non-zero vector"


def write_image_embeddings(work: Work[EmbeddingsInput]) -> None:
    """Fill the draft with ``image_embeddings.parquet`` and the vector files, in the order of the manifest.

    Raises:
        InputError: weights or pictures cannot be read, or not one image got a vector.
    """
    settings, draft = work.settings.image_embeddings, work.draft
    images = read_manifest(work.parents["images"], *PICTURE)
    keys = images["pixel_sha256"].to_pylist()
    model_fingerprint = settings.encoder.fingerprint()
    rows = Rows(work.store.rows(UNIT_VECTORS.noun, model_fingerprint), UNIT_VECTORS.type)
    files = image_files(work.settings.images, work.store)
    read: Callable[[Any], Any] | None = files.open_known
    compute: Callable[[list[Any]], np.ndarray] = FirstUse(settings.encoder.start)
    items: dict[str, Any] = {key: (path, key) for path, key in zip(images["path"].to_pylist(), keys, strict=True)}
    if settings.encoder.trunk is not None:
        read, compute = None, lambda features: settings.encoder.of_features(np.stack(features))
        items = _features(work, settings.encoder.trunk, images, files, rows.keys())
    job = RowJob(
        "embedding images",
        rows,
        items,
        read,
        lambda loaded: UNIT_VECTORS.encode(compute(loaded)),
        settings.batch_rows,
        settings.shard_rows,
        settings.readers,
        settings.read_in,
    )
    computed = fill(job, work.progress, draft.seconds, work.processes)
    if not work.processes.first:
        return
    with draft.timed("write"):
        finite_keys = _finite(rows, set(keys))
        is_finite_N = np.array([key in finite_keys for key in keys], bool)
        if not is_finite_N.any():
            raise InputError(f"not one of the {len(keys)} images got a finite vector; is the encoder's model intact?")
        vectors = rows.vectors([key for key in keys if key in finite_keys])
        write_vectors(draft, _blocks(vectors), len(vectors), settings.dtype)
        draft.write_table(images.select([IMAGE_ID]).filter(pa.array(is_finite_N)).cast(SCHEMA), EMBEDDINGS_FILE)
    draft.rows = len(vectors)
    draft.drop(NOT_FINITE, int((~is_finite_N).sum()))
    draft.details.update(
        encoder=settings.encoder.plugin_kind,
        encoder_fingerprint=model_fingerprint,
        dimensions=int(vectors.shape[1]),
        dtype=settings.dtype,
        computed=computed,
        reused=len(set(keys)) - computed,
    )


def _features(
    work: Work[EmbeddingsInput], trunk: Lite0Levels, images: pa.Table, files: ImageFiles, known: set[str]
) -> dict[str, np.ndarray | None]:
    """What the trunk reads of the pictures that have no vector yet, by hash; None for those that have one."""
    missing = images.filter(pc.invert(pc.is_in(images["pixel_sha256"], value_set=pa.array(sorted(known), pa.string()))))
    features_NF = level_rows(
        trunk,
        missing,
        files,
        work.store,
        progress=work.progress,
        seconds=work.draft.seconds,
        processes=work.processes,
    )
    new = zip(missing["pixel_sha256"].to_pylist(), features_NF, strict=True)
    return {**dict.fromkeys(images["pixel_sha256"].to_pylist()), **dict(new)}


def _finite(rows: Rows, wanted: set[str]) -> set[str]:
    """The wanted keys whose stored value is a vector (null stands for one that is not finite)."""
    return set().union(*map(wanted.intersection, rows.valid_keys()))


def _blocks(vectors: np.ndarray) -> Iterator[np.ndarray]:
    return (vectors[start : start + BLOCK_ROWS] for start in range(0, len(vectors), BLOCK_ROWS))


def _outside(tables: EmbeddingsInput, store: Store) -> str:
    """The weights: another model behind the same name makes another artefact."""
    return tables.image_embeddings.encoder.fingerprint()


def growth(corpus: Corpus, settings: EmbeddingsInput) -> Load:
    """Every image; all vectors are put in order in memory."""
    return Load(corpus.images, "image", held_floats=corpus.images * corpus.dimensions)


IMAGE_EMBEDDINGS = Stage(
    name="image_embeddings",
    parents=("images",),
    view=EmbeddingsInput,
    version=2,
    write=write_image_embeddings,
    external_inputs=_outside,
    multi_process=True,
    growth=growth,
)
