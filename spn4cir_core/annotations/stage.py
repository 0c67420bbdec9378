"""Stage ``annotations``: the annotated triplets and the composed queries that corpora come with."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from dataclasses import asdict
from pathlib import PurePosixPath

from spn4cir_core.annotations.annotation_files import Drop, Parser, Query, Triplet
from spn4cir_core.annotations.annotation_tables import (
    DROP_SCHEMA,
    DROPS_FILE,
    QUERIES_FILE,
    QUERY_SCHEMA,
    TRIPLET_SCHEMA,
    TRIPLETS_FILE,
)
from spn4cir_core.annotations.import_annotations import read_records
from spn4cir_core.annotations.judged import QUERIES_CORPUS, judged_annotations
from spn4cir_core.annotations.settings import AnnotationsInput
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.images.files import image_files
from spn4cir_core.images.manifest import read_dropped_files, read_duplicates, read_manifest
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.fingerprints import file_sha256

log = logging.getLogger(__name__)
NAMED_DROPS = 5
JUDGEMENTS = "judgements"
"""Stands for the path of a file among the hashes."""


def outside(tables: AnnotationsInput, store: Store) -> dict[str, str]:
    """Hashes of all annotation files, by path, and of the files made of judgements.

    Raises:
        InputError: a file is missing or leads out of the root.
    """
    reader, files = tables.images.reader, image_files(tables.images, store)
    digests = {file.path: file_sha256(files.locate(file.path)) for file in reader.annotation_files(store.root)}
    judged = judged_annotations(store, tables.name, tables.annotations.judgements_step)
    return digests if judged is None else digests | {JUDGEMENTS: judged.fingerprint}


def read_annotations(work: Work[AnnotationsInput]) -> None:
    """Write the annotated triplets and the queries of all corpora; none is fine.

    Raises:
        InputError: a file is not UTF-8 CSV with the columns it must have.
    """
    settings, draft, images = work.settings.annotations, work.draft, work.parents["images"]
    with draft.timed("read"):
        triplets, queries, drops = _read_corpora(work, images)
    given = len(triplets)
    if settings.max_triplets is not None:
        triplets = subset(triplets, settings.max_triplets, work.settings.seed)
    for drop in drops:
        draft.drop(drop.reason)
    for drop in drops[:NAMED_DROPS]:
        log.warning("annotations: %s, line %d: %s (%s)", drop.file, drop.line, drop.reason, drop.detail)
    if len(drops) > NAMED_DROPS:
        log.warning("annotations: %d more rows are not used, or in part", len(drops) - NAMED_DROPS)
    draft.drop("beyond max_triplets", given - len(triplets))
    with draft.timed("write"):
        for rows, schema, name in (
            (triplets, TRIPLET_SCHEMA, TRIPLETS_FILE),
            (queries, QUERY_SCHEMA, QUERIES_FILE),
            (drops, DROP_SCHEMA, DROPS_FILE),
        ):
            draft.write_rows(map(asdict, rows), schema, name)
    draft.rows = len(triplets) + len(queries)
    draft.details |= {
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

    smallest = {triplet.annotation_id for triplet in sorted(triplets, key=order)[:count]}
    return [triplet for triplet in triplets if triplet.annotation_id in smallest]


def _read_corpora(work: Work[AnnotationsInput], images: Artifact) -> tuple[list[Triplet], list[Query], list[Drop]]:
    files, reader = image_files(work.settings.images, work.store), work.settings.images.reader
    manifest = read_manifest(images, "image_id")
    merged = read_duplicates(images)
    dropped = read_dropped_files(images)
    kept_ids = {image_id: image_id for image_id in manifest["image_id"].to_pylist()}
    kept_ids.update(zip(merged["path"].to_pylist(), merged["duplicate_of"].to_pylist(), strict=True))
    reasons = dict(zip(dropped["path"].to_pylist(), dropped["reason"].to_pylist(), strict=True))
    triplets: list[Triplet] = []
    queries: list[Query] = []
    drops: list[Drop] = []
    for file in reader.annotation_files(work.store.root):
        folder = PurePosixPath(file.path).parent.as_posix() if file.layout == "corpus" else ""
        parser = Parser(file.corpus, "" if folder == "." else folder, kept_ids, reasons, drops, file.as_published)
        if file.layout == "corpus":
            data = files.read(file.path)
            triplets += parser.triplets(data) if file.holds == "triplets" else []
            queries += parser.queries(data) if file.holds == "queries" else []
        else:
            records = read_records(file.layout, files.locate(file.path), {}, file.as_published)
            triplets += parser.triplets_of(file.path, records, file.pictures) if file.holds == "triplets" else []
            queries += parser.queries_of(file.path, records, file.pictures) if file.holds == "queries" else []
    judged = judged_annotations(work.store, work.settings.name, work.settings.annotations.judgements_step)
    if judged is not None:
        work.draft.details["judgements"] = judged.judgements
        for corpus, data in judged.triplets.items():
            triplets += Parser(corpus, "", kept_ids, reasons, drops).triplets(data)
        queries += Parser(QUERIES_CORPUS, "", kept_ids, reasons, drops).queries(judged.queries)
    return triplets, queries, drops


ANNOTATIONS = Stage(
    name="annotations",
    parents=("images",),
    view=AnnotationsInput,
    version=4,
    write=read_annotations,
    external_inputs=outside,
    fingerprint_part={"name": None},
    main_file=TRIPLETS_FILE,
)
