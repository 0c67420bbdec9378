"""Stage ``annotations``: the annotated triplets and the composed queries that corpora come with."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict
from pathlib import PurePosixPath

import pyarrow as pa

from spn4cir_core.annotations.annotation_files import QUERIES, TRIPLETS, Drop, Parser, Query, Triplet
from spn4cir_core.artifacts import Artifact, Store
from spn4cir_core.fingerprints import file_sha256
from spn4cir_core.images.files import ImageFiles, PictureError, image_files
from spn4cir_core.recipe import Recipe
from spn4cir_core.stage import Stage, Work

TRIPLET_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("annotation_id", "corpus", "reference_id", "target_id", "modified_text")),
        ("modified_texts", pa.list_(pa.string())),
        ("kind", pa.string()),
    ]
)
QUERY_SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("corpus", pa.string()),
        ("reference_id", pa.string()),
        ("modified_text", pa.string()),
        ("target_ids", pa.list_(pa.string())),
        ("kind", pa.string()),
    ]
)
DROP_SCHEMA = pa.schema([("file", pa.string()), ("line", pa.int32()), ("reason", pa.string()), ("detail", pa.string())])


def annotation_file(files: ImageFiles, folder: str, name: str) -> PurePosixPath | None:
    """Path of a corpus's file relative to the root, or None if there is none.

    Raises:
        InputError: the file leads out of the root.
    """
    path = PurePosixPath(folder, name)
    try:
        files.locate(path.as_posix())
    except PictureError as error:
        if error.reason == "no such file":
            return None
        raise
    return path


def outside(recipe: Recipe, store: Store) -> dict[str, str]:
    """Hashes of all annotation files, by path."""
    reader, files = recipe.images.reader, image_files(recipe.images, store)
    folders = {reader.corpus_folder(found.corpus) for found in reader.files(store.root) if found.corpus}
    paths = [annotation_file(files, folder, name) for folder in sorted(folders) for name in (TRIPLETS, QUERIES)]
    return {path.as_posix(): file_sha256(files.locate(path.as_posix())) for path in paths if path is not None}


def read_annotations(work: Work) -> None:
    """Write the annotated triplets and the queries of all corpora; none is fine.

    Raises:
        InputError: a file is not UTF-8 CSV with the columns it must have.
    """
    settings, draft, images = work.recipe.annotations, work.draft, work.parents["images"]
    with draft.timed("read"):
        triplets, queries, drops = _read_corpora(work, images)
    found = len(triplets)
    if settings.max_triplets is not None:
        triplets = subset(triplets, settings.max_triplets, work.recipe.seed)
    for drop in drops:
        draft.drop(drop.reason)
    draft.drop("beyond max_triplets", found - len(triplets))
    with draft.timed("write"):
        for rows, schema, name in (
            (triplets, TRIPLET_SCHEMA, "annotated_triplets.parquet"),
            (queries, QUERY_SCHEMA, "queries.parquet"),
            (drops, DROP_SCHEMA, "drops.parquet"),
        ):
            draft.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema), name)
    draft.rows = len(triplets) + len(queries)
    draft.details = {
        "annotated_triplets": len(triplets),
        "queries": len(queries),
        "triplet_kinds": dict(Counter(triplet.kind or "none" for triplet in triplets)),
        "query_kinds": dict(Counter(query.kind or "none" for query in queries)),
        "sample_triplets": [asdict(triplet) for triplet in triplets[:5]],
        "sample_queries": [asdict(query) for query in queries[:5]],
        "drop_examples": [asdict(drop) for drop in drops[:10]],
    }


def subset(triplets: list[Triplet], count: int, seed: int) -> list[Triplet]:
    """The ``count`` triplets with the smallest seeded hash, in their old order; a larger count adds to them."""

    def order(triplet: Triplet) -> str:
        content = f"{seed}\0{triplet.reference_id}\0{triplet.target_id}\0{triplet.modified_text}"
        return hashlib.sha256(content.encode()).hexdigest()

    chosen = {triplet.annotation_id for triplet in sorted(triplets, key=order)[:count]}
    return [triplet for triplet in triplets if triplet.annotation_id in chosen]


def _read_corpora(work: Work, images: Artifact) -> tuple[list[Triplet], list[Query], list[Drop]]:
    files, reader = image_files(work.recipe.images, work.store), work.recipe.images.reader
    manifest = images.table(columns=["image_id", "corpus"])
    merged = images.table("duplicates.parquet")
    dropped = images.table("drops.parquet")
    kept_ids = {image_id: image_id for image_id in manifest["image_id"].to_pylist()}
    kept_ids.update(zip(merged["path"].to_pylist(), merged["duplicate_of"].to_pylist(), strict=True))
    reasons = dict(zip(dropped["path"].to_pylist(), dropped["reason"].to_pylist(), strict=True))
    triplets: list[Triplet] = []
    queries: list[Query] = []
    drops: list[Drop] = []
    for corpus in sorted(set(manifest["corpus"].to_pylist())):
        parser = Parser(corpus, reader.corpus_folder(corpus), kept_ids, reasons, drops)
        if (path := annotation_file(files, parser.folder, TRIPLETS)) is not None:
            triplets += parser.triplets(files.read(path.as_posix()))
        if (path := annotation_file(files, parser.folder, QUERIES)) is not None:
            queries += parser.queries(files.read(path.as_posix()))
    return triplets, queries, drops


ANNOTATIONS = Stage(
    name="annotations",
    parents=("images",),
    reads=("images", "annotations", "seed"),
    version=2,
    write=read_annotations,
    outside=outside,
)
