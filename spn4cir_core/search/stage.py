"""The ``search_index`` stage: a folder that holds all a composed search needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spn4cir_core.blend.evidence import CAPTION as CAPTION_VECTORS
from spn4cir_core.blend.evidence import PICTURE as PICTURE_VECTORS
from spn4cir_core.blend.evidence import Evidence
from spn4cir_core.blend.fitted import BLEND_FILE, FittedBlend, read_blend
from spn4cir_core.captions.base import CAPTIONERS, Captioner
from spn4cir_core.captions.caption_table import CAPTION, IMAGE_ID, read_caption_rows
from spn4cir_core.engine.growth import Corpus, Load
from spn4cir_core.engine.plugins import as_table
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.evaluation.encode import encode_queries
from spn4cir_core.images.files import image_files
from spn4cir_core.images.manifest import PICTURE, read_manifest
from spn4cir_core.index.base import Index, VectorIndex
from spn4cir_core.index.faiss_index import Codes
from spn4cir_core.index.image_index import measured_recall
from spn4cir_core.index.neighbour_index import inverted_file_products
from spn4cir_core.index.settings import IndexSettings
from spn4cir_core.index.vector_shards import SEARCH, EarlierShards, ShardWriter, VectorSource, recall_of
from spn4cir_core.search.index_table import ABOUT, IMAGES_FILE, SCHEMA, VECTORS, IndexedImages, read_shard_lists
from spn4cir_core.search.indexed_blend import CODES, COMPARED_IN_FULL, network_files, vectors_in_use
from spn4cir_core.search.indexed_captions import write_words
from spn4cir_core.search.repeats import repeats_table
from spn4cir_core.search.settings import SearchIndexInput, SearchSettings
from spn4cir_core.search.target_vectors import TargetVectors, target_fingerprint
from spn4cir_core.splits.split_tables import NEAR_DUPLICATES_FILE, read_splits
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.training.checkpoints import NETWORK, WEIGHTS, Checkpoint, load_checkpoint
from spn4cir_core.training.image_inputs import image_inputs
from spn4cir_core.training.roles import STAGE2, TRAINED
from spn4cir_core.training.text_features import remember_texts

RECALL_QUERIES, RECALL_TOP = 200, 10


def write_search_index(work: Work[SearchIndexInput]) -> None:
    """Encode the images with stage 2's target encoder, index the vectors, and put the networks beside them.

    Vectors that an earlier index with the same target encoder needed are read from the store; shards of vectors that
    the recipe's index before this one has are shared with it.

    Raises:
        InputError: ``images`` selects no image, or a picture cannot be read any more.
    """
    settings, draft = work.settings.search_index, work.draft
    checkpoint_artifact = work.parents["stage2_checkpoint"]
    rows = _images(work, settings)
    if not len(rows):
        raise InputError(f'no image to index: search_index.images = {settings.images!r} selects none; use "all"')
    checkpoint, blend = load_checkpoint(checkpoint_artifact), read_blend(work.parents["blend"])
    encoded = _count_missing(work, checkpoint, rows)
    writer = ShardWriter(draft, _earlier(work.earlier))
    for source in vector_sources(work, rows, checkpoint, blend):
        with draft.timed("write"):
            writer.write(source)
    writer.remove_unlisted()
    shards = writer.lists[STAGE2.name]
    about: dict[str, Any] = {
        "checkpoint": checkpoint_artifact.fingerprint,
        "kind": next((shard.indexes[SEARCH] for shard in shards.shards if SEARCH in shard.indexes), "flat"),
        "images": len(rows),
        "dimensions": checkpoint.network.dim,
        "image_encoder": as_table(work.settings.image_embeddings.encoder),
    }
    captioner = upload_captioner(work.parents["captions"], blend)
    if captioner is not None:
        about["captioner"] = as_table(captioner)
    if work.settings.rerank is not None:
        about["reranker"] = as_table(work.settings.rerank)
    if about["kind"] != "flat":
        about |= {f"recall@{RECALL_TOP}": recall_of(shards), "recall_queries": min(RECALL_QUERIES, len(rows))}
    with draft.timed("write"):
        images = rows.select(SCHEMA.names).cast(SCHEMA)
        draft.write_table(images, IMAGES_FILE)
        draft.write_table(
            repeats_table(work.parents["splits"], rows["image_id"].combine_chunks()), NEAR_DUPLICATES_FILE
        )
        work.parents["blend"].share(BLEND_FILE, draft)
        for name in (NETWORK, WEIGHTS):
            checkpoint_artifact.share(name, draft)
        is_alike = work.earlier is not None and work.earlier.summary["version"] == SEARCH_INDEX.version
        write_words(draft, IndexedImages(images), blend, work.earlier if is_alike else None)
        draft.write_json({**about, VECTORS: {name: one.model_dump() for name, one in writer.lists.items()}}, ABOUT)
    draft.rows = len(rows)
    draft.details = {
        **about,
        "encoded": encoded,
        "reused": len(rows) - encoded,
        "shards_shared": sum(writer.shared.values()),
        "shards_written": sum(writer.written.values()),
    }


def _earlier(index: Artifact | None) -> EarlierShards:
    """The shards of the index before; none where there is none, or another version wrote it."""
    with suppress(StoreError):
        return EarlierShards() if index is None else EarlierShards(index, read_shard_lists(index))
    return EarlierShards()


def _count_missing(work: Work[SearchIndexInput], checkpoint: Checkpoint, rows: pa.Table) -> int:
    """How many different pictures have no vector of stage 2 yet."""
    vectors = TargetVectors(checkpoint, image_files(work.settings.images, work.store), work.store)
    return len(set(vectors.missing(rows)["pixel_sha256"].to_pylist()))


def vector_sources(
    work: Work[SearchIndexInput], rows: pa.Table, checkpoint: Checkpoint, blend: FittedBlend
) -> Iterator[VectorSource]:
    """Stage 2's target vectors, and those of every other channel in use."""
    image_ids, pixels = rows["image_id"].to_pylist(), rows["pixel_sha256"].to_pylist()
    evidence = Evidence.of(
        work.parents["captions"],
        work.parents["image_embeddings"],
        blend.sentence_encoder,
        work.store,
        blend.caption_sources,
    )
    in_use = vectors_in_use(blend)
    for name in TRAINED:
        if name == STAGE2.name:
            yield _of_network(work, rows, name, checkpoint)
        elif name in in_use:
            artifact = work.parents[TRAINED[name].artifact]
            for source, target in zip((NETWORK, WEIGHTS), network_files(name), strict=True):
                artifact.share(source, work.draft, target)
            yield _of_network(work, rows, name, load_checkpoint(artifact))
    codes = _Codes(work.settings.search_index)
    if PICTURE_VECTORS in in_use:
        embedded = evidence.embeddings.row_of
        yield VectorSource(
            PICTURE_VECTORS,
            codes.space(work.parents["image_embeddings"].details["encoder_fingerprint"]),
            [f"{one}\n{key}\n{one in embedded}" for one, key in zip(image_ids, pixels, strict=True)],
            lambda rows_K: evidence.pictures([image_ids[row] for row in rows_K]),
            codes.of,
            seed=work.settings.seed,
        )
    if CAPTION_VECTORS in in_use and evidence.sentences is not None and blend.sentence_encoder is not None:
        yield VectorSource(
            CAPTION_VECTORS,
            codes.space(f"{blend.sentence_encoder.fingerprint()} {bool(evidence.captions)}"),
            [f"{one}\n{evidence.meaning_key(one)}" for one in image_ids],
            lambda rows_K: evidence.meanings([image_ids[row] for row in rows_K]),
            codes.of,
            seed=work.settings.seed,
        )


def _of_network(work: Work[SearchIndexInput], rows: pa.Table, name: str, checkpoint: Checkpoint) -> VectorSource:
    """Target vectors of a trained network; those of stage 2 are searched by themselves too."""
    settings, tokens = work.settings.search_index, checkpoint.network.target_tokens
    target_vectors = TargetVectors(checkpoint, image_files(work.settings.images, work.store), work.store)
    codes, is_served = _Codes(settings), name == STAGE2.name

    def vectors(rows_K: np.ndarray) -> np.ndarray:
        vectors_VD = target_vectors.of(rows.take(rows_K), work.progress, work.draft.seconds)
        return vectors_VD if tokens == 1 else vectors_VD.reshape(len(rows_K), tokens, -1)

    def indexes(vectors_VD: np.ndarray) -> dict[str, Index]:
        kind = settings.kind_for(len(vectors_VD)) if is_served else "flat"
        own = {} if kind == "flat" else {SEARCH: settings.index_for_kind(kind)}
        return {**own, **codes.of(vectors_VD, tokens)}

    def measured(index: VectorIndex, vectors_VD: np.ndarray) -> float:
        return measured_recall(index, vectors_VD, _queries(work, checkpoint, rows), tokens, RECALL_TOP)

    pairs = zip(rows["image_id"].to_pylist(), rows["pixel_sha256"].to_pylist(), strict=True)
    return VectorSource(
        name,
        codes.space(target_fingerprint(checkpoint)),
        [f"{image_id}\n{pixels}" for image_id, pixels in pairs],
        vectors,
        indexes,
        measured,
        work.settings.seed,
    )


@dataclass(frozen=True)
class _Codes:
    """Codes that propose candidates, of shards with too many images to compare each."""

    settings: SearchSettings

    def of(self, vectors_VD: np.ndarray, tokens: int = 1) -> dict[str, Index]:
        if len(vectors_VD) <= COMPARED_IN_FULL * tokens:
            return {}
        return {CODES: Codes(flat_up_to=self.settings.flat_up_to, probed_share=self.settings.probed_share)}

    def space(self, encoder: str) -> str:
        index = {name: getattr(self.settings, name) for name in IndexSettings.model_fields}
        return fingerprint({"encoder": encoder, "index": index})


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
    version=8,
    write=write_search_index,
    fingerprint_part={"rerank": lambda reranker: reranker},
    growth=growth,
)
