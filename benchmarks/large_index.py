"""A search index of a million images from a finished store of some thousand, to be served and asked.

    python -m benchmarks.large_index --store store --folder DIR --rows 1000000
    spn4cir serve --recipe folder --images photos/ --store DIR/store --port 8000
    python benchmarks/serve_load.py --port 8000 --clients 1 32 64 --kinds composed --unseen --pid PID
    python -m benchmarks.large_index --store store --folder DIR --bare     # without a server, beside the least

Every image of the store's index stands in the new one many times, with an id of its own: its picture, a drawn title
with one of its words, and its vectors with noise. Blend, networks and encoders are the store's. So is everything that a
server opens; the other artefacts are left out. DIR keeps what is there: the same command goes on where it ended.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from benchmarks.channel_cost import captions_of
from benchmarks.serve_load import TEXTS, TOP
from spn4cir_core.blend.evidence import CAPTION
from spn4cir_core.blend.fitted import BLEND_FILE, read_blend
from spn4cir_core.index.faiss_index import Codes, multiply_from_few_queries
from spn4cir_core.index.image_index import candidate_images
from spn4cir_core.index.sharded_index import ShardedVectors
from spn4cir_core.index.vector_shards import SEARCH, EarlierShards, ShardWriter, VectorSource
from spn4cir_core.search.index_table import ABOUT, IMAGES_FILE, SCHEMA, VECTORS, IndexedImages, read_shard_lists
from spn4cir_core.search.indexed_blend import CANDIDATES, CODES, COMPARED_IN_FULL
from spn4cir_core.search.indexed_captions import write_words
from spn4cir_core.search.repeats import REPEATS_SCHEMA
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.search_request import SearchRequest
from spn4cir_core.splits.split_tables import NEAR_DUPLICATES_FILE
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.draft import Draft
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.store.whole_file import read_json
from spn4cir_core.training.roles import STAGE2

NOISE = 0.5
"""Length of what is added to a vector of length 1."""
ROWS_AT_ONCE = 50_000
AT_ONCE, PIXEL = 64, Image.new("RGB", (1, 1))


def images_of(small: Artifact, rows: int) -> pa.Table:
    """N rows of the index's table, sorted by id."""
    rng = np.random.default_rng(0)
    before = small.table(IMAGES_FILE, SCHEMA.names)
    of_N = np.arange(rows) % len(before)
    own = before.take(of_N)
    words = [(caption or "thing").split()[-1] for caption in before["caption"].to_pylist()]
    titles = [f"{words[one]}, {title}" for one, title in zip(of_N.tolist(), captions_of(rows, rng), strict=True)]
    image_ids = [f"{number:07d}.jpg" for number in range(rows)]
    pixels = [hashlib.sha256(image_id.encode()).hexdigest() for image_id in image_ids]
    for name, values in (("image_id", image_ids), ("caption", titles), ("pixel_sha256", pixels)):
        own = own.set_column(own.schema.get_field_index(name), name, pa.array(values, pa.string()))
    return own.select(SCHEMA.names).cast(SCHEMA)


def noisy(vectors: np.ndarray, rows: int, scratch: Path) -> np.ndarray:
    """(rows, D) float32 unit vectors, memory-mapped: those of the small index in turns, with noise."""
    rng, dimensions = np.random.default_rng(1), vectors.shape[-1]
    many_ND = np.lib.format.open_memmap(scratch, "w+", np.float32, (rows, dimensions))
    for start in range(0, rows, ROWS_AT_ONCE):
        of_K = np.arange(start, min(rows, start + ROWS_AT_ONCE)) % len(vectors)
        noise_KD = rng.standard_normal((len(of_K), dimensions), np.float32)
        some_KD = vectors[of_K] + noise_KD * np.float32(NOISE / dimensions**0.5)
        many_ND[start : start + len(of_K)] = some_KD / np.linalg.norm(some_KD, axis=1, keepdims=True)
    return many_ND


def write_index(small: Artifact, draft: Draft, rows: int) -> None:
    """Everything of a ``search_index``; codes of the vectors that a blend with captions compares."""
    about, images, names = read_json(small.file(ABOUT)), images_of(small, rows), read_shard_lists(small)
    writer, image_ids = ShardWriter(draft, EarlierShards()), images["image_id"].to_pylist()
    for name, listed in names.items():
        scratch = draft.path.parent / f"{name}.scratch.npy"
        vectors = ShardedVectors.open(small, name, listed).whole()
        has_codes = rows > COMPARED_IN_FULL and name != STAGE2.name
        indexes = {CODES: Codes()} if has_codes else {}
        writer.write(
            VectorSource(
                name,
                listed.space,
                image_ids,
                lambda rows_K, v=vectors, at=scratch: noisy(v, len(rows_K), at),
                lambda many, own=indexes: own,
            )
        )
        scratch.unlink()
    draft.write_table(images, IMAGES_FILE)
    write_words(draft, IndexedImages(images), read_blend(small))
    draft.write_table(REPEATS_SCHEMA.empty_table(), NEAR_DUPLICATES_FILE)
    for name in set(small.summary["files"]) - {ABOUT, IMAGES_FILE, NEAR_DUPLICATES_FILE}:
        if name == BLEND_FILE or name.endswith((".json", ".safetensors")):
            small.share(name, draft)
    lists = {name: one.model_dump() for name, one in writer.lists.items()}
    draft.write_json({**about, "images": rows, VECTORS: lists}, ABOUT)
    draft.rows = rows


def make(source: Store, target: Store, recipe: str, rows: int) -> Artifact:
    """The recipe's index of so many rows in another store, made where it is not there yet."""
    small = source.current(recipe, "search_index")
    assert small is not None, f"{source} has no search index of {recipe}"
    assert read_blend(small).used, "the blend has no channel"
    inputs = {"stage": "search_index", "rows": rows, "noise": NOISE, "parents": small.summary["parents"]}
    digest = fingerprint({**inputs, "of": small.fingerprint})
    if target.get("search_index", digest) is None:
        with target.writing("search_index", digest, {**inputs, "settings": small.summary["settings"]}) as draft:
            write_index(small, draft, rows)
    made = target.get("search_index", digest)
    assert made is not None
    target.point(recipe, made)
    return made


def bare(index: Artifact, queries: int) -> None:
    """Processor milliseconds a query, 64 at a time, of answers and of what no answer can do without, in turns.

    That is encoding edited captions and finding the nearest by FAISS: among every vector, and among those that codes
    propose, whose scores are computed anew. Every question is new, and answers come without a server.
    """
    searcher, rng = Searcher.open(index), np.random.default_rng(2)
    assert searcher.blend is not None, "the index has no blend"
    vectors_ND, codes = searcher.blend.gallery.vectors[CAPTION], searcher.blend.indexes.get(CAPTION)
    every = ShardedVectors.open(index, CAPTION, read_shard_lists(index)[CAPTION]).index(SEARCH)
    multiply_from_few_queries(every.d)
    seconds: dict[str, list[float]] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        seconds.setdefault(name, []).append(time.process_time() - started)

    for _ in range(0, queries + AT_ONCE, AT_ONCE):
        rows = rng.integers(len(searcher.rows), size=(2, AT_ONCE)).tolist()
        texts = [[TEXTS[row % len(TEXTS)] for row in own] for own in rows]
        image_ids = [searcher.rows.text("image_id", row) for row in rows[0]]
        requests = [
            SearchRequest.of(PIXEL, text, TOP, [image_id], reference_id=image_id)
            for text, image_id in zip(texts[0], image_ids, strict=True)
        ]
        with timed("answers"):
            searcher.answer(requests)
        with timed("encoding"):
            composed = searcher.blend.compose([(PIXEL, text) for text in texts[1]], rows[1])
        queries_QD = composed.vectors[CAPTION]
        with timed("every vector"):
            every.search(queries_QD, TOP)
        if codes is None:
            continue
        with timed("codes"):
            proposed = candidate_images(codes, queries_QD, CANDIDATES, 1)
        with timed("their vectors"):
            for query_D, rows_K in zip(queries_QD, proposed, strict=True):
                np.argpartition(-(vectors_ND[np.sort(rows_K)] @ query_D), TOP)
    ms = {name: 1000 * sum(own[1:]) / queries for name, own in seconds.items()}  # the first loads the encoder
    least = ms["encoding"] + (ms["every vector"] if codes is None else ms["codes"] + ms["their vectors"])
    print({name: f"{value:.2f} processor ms a query" for name, value in ms.items()})
    print(f"answers take {ms['answers'] / least:.2f} × the least ({least:.2f} ms)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="a finished store")
    parser.add_argument("--recipe", default="folder")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--bare", action="store_true", help="answers without a server, beside encoding and FAISS alone")
    given = parser.parse_args()
    source, target = Store(given.store), Store(given.folder / "store")
    index = make(source, target, given.recipe, given.rows)
    for note in (source.root / "recipes" / given.recipe).glob("source.json"):
        shutil.copy2(note, target.root / "recipes" / given.recipe / note.name)
    total = sum(one["bytes"] for one in index.summary["files"].values())
    print(f"{index.path}: {given.rows:,} images, {total / 1e9:.1f} GB")
    if given.bare:
        bare(index, 4 * AT_ONCE)


if __name__ == "__main__":
    main()
