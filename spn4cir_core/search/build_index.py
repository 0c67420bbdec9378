"""The ``search_index`` stage: a folder that holds all a composed search needs."""

from __future__ import annotations

import math
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spn4cir_core.artifacts import whole_file
from spn4cir_core.errors import InputError
from spn4cir_core.evaluation.encode import encode_gallery
from spn4cir_core.images.files import image_files
from spn4cir_core.search.settings import SearchSettings
from spn4cir_core.stage import Stage, Work
from spn4cir_core.training.checkpoints import NETWORK, WEIGHTS, load_checkpoint
from spn4cir_core.training.image_inputs import image_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

INDEX, ABOUT = "index.faiss", "index.json"
TRAINING_ROWS_PER_CELL = 64
SCHEMA = pa.schema([("image_id", pa.string()), ("path", pa.string()), ("caption", pa.string())])


def write_search_index(work: Work) -> None:
    """Encode the images with stage 2's target encoder, index the vectors, and copy the network beside them."""
    settings, draft = work.recipe.search_index, work.draft
    checkpoint_artifact = work.parents["stage2_checkpoint"]
    rows = _images(work, settings)
    if not len(rows):
        raise InputError(f'no image to index: search_index.images = {settings.images!r} selects none; use "all"')
    checkpoint = load_checkpoint(checkpoint_artifact)
    files = image_files(work.recipe.images, work.store)
    with draft.timed("read"):
        inputs_N = image_inputs(
            checkpoint.backbone, checkpoint.network, rows, files, work.store, progress=work.progress
        )
    with draft.timed("compute"):
        vectors = encode_gallery(checkpoint.network, inputs_N)
        vectors_VD = vectors.reshape(-1, vectors.shape[-1])
        index = build_index(vectors_VD, settings, work.recipe.seed)
    with draft.timed("write"):
        _write_index(work, index)
        draft.write_table(rows.select(SCHEMA.names).cast(SCHEMA), "search_index.parquet")
        for name in (NETWORK, WEIGHTS):
            shutil.copyfile(checkpoint_artifact.file(name), draft.file(name))
    about = {
        "checkpoint": checkpoint_artifact.fingerprint,
        "kind": "flat" if len(vectors_VD) <= settings.flat_up_to else "ivf",
        "images": len(rows),
        "dimensions": int(vectors_VD.shape[1]),
    }
    draft.write_json(about, ABOUT)
    draft.rows, draft.details = len(rows), about


def build_index(vectors_VD: np.ndarray, settings: SearchSettings, seed: int) -> Any:
    """FAISS inner-product index of unit vectors: flat (exact), or IVF above ``settings.flat_up_to`` rows.

    The T vectors of an image stand behind one another, so row v is of image v // T. One thread builds it, so the
    same vectors give the same bytes.
    """
    import faiss

    rows, dim = vectors_VD.shape
    index: Any
    with one_faiss_thread():
        if rows <= settings.flat_up_to:
            index = faiss.IndexFlatIP(dim)
        else:
            cells = max(1, min(round(4 * math.sqrt(rows)), rows // 39 or 1))
            index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, cells, faiss.METRIC_INNER_PRODUCT)
            index.cp.seed = seed
            index.nprobe = max(1, math.ceil(cells * settings.probed_share))
            drawn = np.random.default_rng(seed).permutation(rows)[: cells * TRAINING_ROWS_PER_CELL]
            index.train(np.ascontiguousarray(vectors_VD[np.sort(drawn)]))
        index.add(np.ascontiguousarray(vectors_VD))
    return index


@contextmanager
def one_faiss_thread() -> Iterator[None]:
    """Let FAISS use one thread: sums are then always taken in the same order."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _images(work: Work, settings: SearchSettings) -> pa.Table:
    """image_id, path, pixel_sha256 and caption (empty where none) of the chosen split, sorted by id."""
    images = work.parents["images"].table(columns=["image_id", "path", "pixel_sha256"])
    captions = work.parents["captions"].table(columns=["image_id", "caption"])
    table = images.join(captions, "image_id", join_type="left outer").sort_by("image_id")
    table = table.set_column(table.schema.get_field_index("caption"), "caption", pc.fill_null(table["caption"], ""))
    if settings.images == "all":
        return table
    splits = work.parents["splits"].table(columns=["image_id", "split"])
    chosen = splits.filter(pc.equal(splits["split"], settings.images))["image_id"]
    return table.filter(pc.is_in(table["image_id"], value_set=chosen.combine_chunks()))


def _write_index(work: Work, index: Any) -> None:
    import faiss

    with whole_file(work.draft.file(INDEX)) as scratch:
        faiss.write_index(index, str(scratch))


SEARCH_INDEX = Stage(
    name="search_index",
    parents=("images", "captions", "splits", "triplets", "stage2_checkpoint"),
    reads=("search_index", "images", "seed"),
    version=1,
    write=write_search_index,
)
