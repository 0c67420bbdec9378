"""The ``search_index`` stage: a folder that holds all a composed search needs."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spn4cir_core.blend.evidence import Evidence
from spn4cir_core.blend.fitted import BLEND_FILE, FittedBlend, read_blend
from spn4cir_core.captions.base import CAPTIONERS, Captioner
from spn4cir_core.captions.caption_table import CAPTION, IMAGE_ID, read_caption_rows
from spn4cir_core.engine.growth import Corpus, Load
from spn4cir_core.engine.plugins import as_table
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.errors import InputError
from spn4cir_core.evaluation.encode import encode_queries
from spn4cir_core.images.files import image_files
from spn4cir_core.images.manifest import PICTURE, read_manifest
from spn4cir_core.index.faiss_index import Codes
from spn4cir_core.index.image_index import build_index, measured_recall
from spn4cir_core.index.neighbour_index import inverted_file_products
from spn4cir_core.search.index_table import IMAGES_FILE, SCHEMA
from spn4cir_core.search.indexed_blend import (
    COMPARED_IN_FULL,
    index_file,
    network_files,
    vectors_file,
    vectors_in_use,
)
from spn4cir_core.search.repeats import repeats_table
from spn4cir_core.search.settings import SearchIndexInput, SearchSettings
from spn4cir_core.search.target_vectors import TargetVectors
from spn4cir_core.splits.split_tables import NEAR_DUPLICATES_FILE, read_splits
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.whole_file import whole_file
from spn4cir_core.training.checkpoints import NETWORK, WEIGHTS, Checkpoint, load_checkpoint
from spn4cir_core.training.image_inputs import image_inputs
from spn4cir_core.training.roles import STAGE2, TRAINED
from spn4cir_core.training.text_features import remember_texts

INDEX, ABOUT = "index.faiss", "index.json"
RECALL_QUERIES, RECALL_TOP = 200, 10


def write_search_index(work: Work[SearchIndexInput]) -> None:
    """Encode the images with stage 2's target encoder, index the vectors, and copy the network beside them.

    Vectors that an earlier index with the same target encoder needed are read from the store.

    Raises:
        InputError: ``images`` selects no image, or a picture cannot be read any more.
    """
    settings, draft = work.settings.search_index, work.draft
    checkpoint_artifact = work.parents["stage2_checkpoint"]
    rows = _images(work, settings)
    if not len(rows):
        raise InputError(f'no image to index: search_index.images = {settings.images!r} selects none; use "all"')
    checkpoint = load_checkpoint(checkpoint_artifact)
    target_vectors = TargetVectors(checkpoint, image_files(work.settings.images, work.store), work.store)
    encoded = len(set(target_vectors.missing(rows)["pixel_sha256"].to_pylist()))
    vectors_VD = target_vectors.of(rows, work.progress, draft.seconds)
    with draft.timed("compute"):
        index = build_index(vectors_VD, settings, work.settings.seed)
    about: dict[str, Any] = {
        "checkpoint": checkpoint_artifact.fingerprint,
        "kind": settings.kind_for(len(vectors_VD)),
        "images": len(rows),
        "dimensions": int(vectors_VD.shape[1]),
        "image_encoder": as_table(work.settings.image_embeddings.encoder),
    }
    captioner = upload_captioner(work.parents["captions"], read_blend(work.parents["blend"]))
    if captioner is not None:
        about["captioner"] = as_table(captioner)
    if work.settings.rerank is not None:
        about["reranker"] = as_table(work.settings.rerank)
    if about["kind"] != "flat":
        with draft.timed("compute"):
            queries_QD = _queries(work, checkpoint, rows)
            tokens = checkpoint.network.target_tokens
            recall = measured_recall(index, vectors_VD, queries_QD, tokens, RECALL_TOP)
        about |= {f"recall@{RECALL_TOP}": recall, "recall_queries": len(queries_QD)}
    with draft.timed("write"):
        with whole_file(draft.file(INDEX)) as scratch:
            settings.index_for(len(vectors_VD)).write(index, scratch)
        draft.write_table(rows.select(SCHEMA.names).cast(SCHEMA), IMAGES_FILE)
        draft.write_table(
            repeats_table(work.parents["splits"], rows["image_id"].combine_chunks()), NEAR_DUPLICATES_FILE
        )
        for name in (NETWORK, WEIGHTS):
            shutil.copyfile(checkpoint_artifact.file(name), draft.file(name))
        own_NTD = vectors_VD.reshape(len(rows), -1, vectors_VD.shape[1])
        draft.write_json({**about, "channel_indexes": _write_blend(work, rows, own_NTD)}, ABOUT)
    draft.rows, draft.details = len(rows), {**about, "encoded": encoded, "reused": len(rows) - encoded}


def upload_captioner(captions: Artifact, blend: FittedBlend) -> Captioner | None:
    """What captions uploads as the corpus was captioned; None where nothing does it fast, or captions do not count."""
    table = captions.summary["settings"].get("captions", {}).get("captioner")
    captioner: Captioner | None = None if table is None else CAPTIONERS.build(table).for_uploads()
    if captioner is None or not any(channel.reads_captions for channel in blend.used_channels):
        return None
    counts = blend.caption_sources is None or captioner.plugin_kind in blend.caption_sources
    return captioner if counts else None


def _queries(work: Work[SearchIndexInput], checkpoint: Checkpoint, rows: pa.Table) -> np.ndarray:
    """(Q, D) composed queries to measure an approximate index with: images, each with the caption of another one."""
    drawn = np.random.default_rng(work.settings.seed).permutation(len(rows))[:RECALL_QUERIES]
    references, texts = rows.take(drawn), rows["caption"].take(np.roll(drawn, 1)).to_pylist()
    files = image_files(work.settings.images, work.store)
    inputs_Q = image_inputs(checkpoint.backbone, checkpoint.network, references, files, work.store)
    query_texts = [text or "a picture" for text in texts]
    remember_texts(checkpoint.network, query_texts, work.store)
    return encode_queries(checkpoint.network, inputs_Q, range(len(query_texts)), query_texts)["composed"]


def _images(work: Work[SearchIndexInput], settings: SearchSettings) -> pa.Table:
    """The columns of the index's table, of the images of the chosen split, sorted by id."""
    images = read_manifest(work.parents["images"], *PICTURE, "category", "corpus", "attributes")
    captions = read_caption_rows(work.parents["captions"]).rename_columns([IMAGE_ID, CAPTION, "caption_source"])
    images = images.sort_by("image_id")
    table = images.drop_columns("attributes").join(captions, "image_id", join_type="left outer").sort_by("image_id")
    table = table.append_column("attributes", images["attributes"])  # a join takes no maps
    for name in (CAPTION, "caption_source"):
        table = table.set_column(table.schema.get_field_index(name), name, pc.fill_null(table[name], ""))
    if settings.images == "all":
        return table
    splits = read_splits(work.parents["splits"], "image_id", "split")
    image_ids = splits.filter(pc.equal(splits["split"], settings.images))["image_id"]
    return table.filter(pc.is_in(table["image_id"], value_set=image_ids.combine_chunks()))


def growth(corpus: Corpus, settings: SearchIndexInput) -> Load:
    """Every image, and above ``flat_up_to`` the building of an inverted file; the vectors are held twice."""
    images, dimensions, products = corpus.images, corpus.bank_dimensions, 0.0
    if settings.search_index.kind_for(round(images)) != "flat":
        products = inverted_file_products(images, lists_visited=0) * dimensions
    return Load(images, "image", products, held_floats=2 * images * dimensions)


def _write_blend(work: Work[SearchIndexInput], rows: pa.Table, own_NTD: np.ndarray) -> dict[str, str]:
    """Write the blend, with the vectors and the networks that its channels in use compare.

    Args:
        own_NTD: stage 2's target vectors.

    Returns:
        Name of vectors → kind of their index, where there is one.
    """
    blend_artifact = work.parents["blend"]
    shutil.copyfile(blend_artifact.file(BLEND_FILE), work.draft.file(BLEND_FILE))
    blend = read_blend(blend_artifact)
    evidence = Evidence.of(
        work.parents["captions"],
        work.parents["image_embeddings"],
        blend.sentence_encoder,
        work.store,
        blend.caption_sources,
    )
    trained: dict[str, np.ndarray] = {STAGE2.name: own_NTD if own_NTD.shape[1] > 1 else own_NTD[:, 0]}
    for name in vectors_in_use(blend):
        if name in TRAINED and name != STAGE2.name:
            trained[name] = _vectors_of(work, name, rows)
    gallery = evidence.gallery(rows["image_id"].to_pylist(), trained)
    names = [name for name in vectors_in_use(blend) if name in gallery.vectors]
    kinds = {name: _write_vectors(work, name, gallery.vectors[name]) for name in names}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def _vectors_of(work: Work[SearchIndexInput], model: str, rows: pa.Table) -> np.ndarray:
    """(N, D), or (N, T, D), vectors of another model's target encoder; its network is copied beside them."""
    artifact = work.parents[TRAINED[model].artifact]
    for source, name in zip((NETWORK, WEIGHTS), network_files(model), strict=True):
        shutil.copyfile(artifact.file(source), work.draft.file(name))
    checkpoint = load_checkpoint(artifact)
    files = image_files(work.settings.images, work.store)
    vectors_VD = TargetVectors(checkpoint, files, work.store).of(rows, work.progress, work.draft.seconds)
    tokens = checkpoint.network.target_tokens
    return vectors_VD if tokens == 1 else vectors_VD.reshape(len(rows), tokens, -1)


def _write_vectors(work: Work[SearchIndexInput], name: str, vectors: np.ndarray) -> str | None:
    """Write the vectors and, where there are too many to compare all, codes that propose some; returns their kind."""
    with whole_file(work.draft.file(vectors_file(name))) as scratch, scratch.open("wb") as stream:
        np.save(stream, vectors, allow_pickle=False)
    if len(vectors) <= COMPARED_IN_FULL:
        return None
    flat_VD = np.nan_to_num(vectors.reshape(-1, vectors.shape[-1]))
    settings = work.settings.search_index
    codes = Codes(flat_up_to=settings.flat_up_to, probed_share=settings.probed_share)
    with whole_file(work.draft.file(index_file(name))) as scratch:
        codes.write(codes.build(flat_VD, work.settings.seed), scratch)
    return codes.plugin_kind


SEARCH_INDEX = Stage(
    name="search_index",
    parents=(
        "images",
        "captions",
        "image_embeddings",
        "splits",
        "triplets",
        *(role.artifact for role in TRAINED.values()),
        "blend",
    ),
    view=SearchIndexInput,
    version=6,
    write=write_search_index,
    fingerprint_part={"rerank": lambda reranker: reranker},
    growth=growth,
)
