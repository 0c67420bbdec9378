"""Answer the queries of CIRR's test1 or CIRCO's test with a checkpoint; their targets are known to the server alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from spn4cir_core.annotations.import_annotations import read_records
from spn4cir_core.annotations.records import Record
from spn4cir_core.engine.progress import Progress, silent
from spn4cir_core.errors import InputError
from spn4cir_core.evaluation.encode import encode_gallery, encode_queries
from spn4cir_core.evaluation.ranks import top_hits
from spn4cir_core.evaluation.submission_files import TOP, Benchmark, Form, Metric, members, write_submission
from spn4cir_core.images.base import AnnotationFile
from spn4cir_core.images.benchmark import GALLERIES, NAME
from spn4cir_core.images.files import image_files
from spn4cir_core.images.manifest import read_duplicates, read_manifest
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.checkpoints import Checkpoint
from spn4cir_core.training.image_inputs import image_inputs

Text = Literal["caption", "concept"]
ReferenceFate = Literal["kept", "removed"]
GALLERY: Mapping[Benchmark, str] = {"cirr": "test1", "circo": "unlabeled2017"}
FILES: Mapping[Benchmark, Mapping[Metric, str]] = {
    "cirr": {"recall": "recall_submission", "recall_subset": "recall_subset_submission"},
    "circo": {"map": "circo_submission"},
}


@dataclass(frozen=True)
class ServerQueries:
    """The queries of one benchmark's server, and the gallery that they are asked of."""

    benchmark: Benchmark
    annotations: Path
    queries: Sequence[Record]
    names: Sequence[str]
    """Names of the gallery's images in the benchmark, those with equal pixels included."""
    image_ids: Sequence[str]
    """The image of each name."""


def read_server_queries(settings: ImageSettings, images: Artifact, store: Store) -> list[ServerQueries]:
    """The queries without known targets that a recipe's readers have, by benchmark.

    Raises:
        InputError: there are none.
    """
    files = image_files(settings, store)
    servers = []
    for file in settings.reader.annotation_files(store.root):
        benchmark = _benchmark(file)
        if benchmark is None:
            continue
        path = files.locate(file.path)
        records = list(read_records(benchmark, path, {}))
        if not any(record.targets for record in records):
            gallery = sorted(_gallery(images, GALLERY[benchmark]), key=lambda row: _order(row[0]))
            names, ids = [name for name, _ in gallery], [image_id for _, image_id in gallery]
            servers.append(ServerQueries(benchmark, path, records, names, ids))
    if not servers:
        raise InputError(
            "the recipe's reader has no queries for a server; read 'cirr' with evaluate = \"test1\" or 'circo' with "
            'evaluate = "test"'
        )
    return servers


@dataclass(frozen=True)
class Answering:
    """The checkpoint that answers, and the mode of the queries."""

    checkpoint: Checkpoint
    manifest: pa.Table
    """``image_id``, ``path`` and ``pixel_sha256`` of the recipe's images."""
    settings: ImageSettings
    store: Store
    text: Text = "caption"
    """CIRCO's relative caption alone, or after its shared concept."""
    reference: ReferenceFate = "kept"
    """Whether CIRCO's rankings may hold the reference image; CIRR's never do."""


def submit(
    server: ServerQueries, answering: Answering, out: Path, name: str, progress: Progress = silent
) -> list[Path]:
    """Rank the gallery for every query and write the benchmark's files, each checked as its server does.

    Args:
        name: what the files' names end with.

    Raises:
        InputError: a picture that is needed is missing, or the files cannot be written.
    """
    _check_pictures(server)
    queries_QD, gallery_ND = _vectors(server, answering, progress)
    written = []
    for metric, stem in FILES[server.benchmark].items():
        form = Form(server.benchmark, metric, server.queries, frozenset(server.names))
        rankings = dict(_rankings(server, form, answering.reference, queries_QD, gallery_ND))
        written.append(out / f"{stem}_{name}.json")
        write_submission(written[-1], rankings, form, server.annotations)
    return written


def _vectors(server: ServerQueries, answering: Answering, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """(Q, D) of the queries and (N, D) of the gallery's names."""
    checkpoint, network = answering.checkpoint, answering.checkpoint.network
    image_ids = sorted(set(server.image_ids))
    row_of = {image_id: row for row, image_id in enumerate(answering.manifest["image_id"].to_pylist())}
    rows = answering.manifest.take(pa.array([row_of[image_id] for image_id in image_ids], pa.int64()))
    files = image_files(answering.settings, answering.store)
    inputs_N = image_inputs(checkpoint.backbone, network, rows, files, answering.store, progress=progress)
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    of_name = {name: row_of[image_id] for name, image_id in zip(server.names, server.image_ids, strict=True)}
    references = [of_name[query.reference] for query in server.queries]
    texts = [_text(query, answering.text) for query in server.queries]
    queries_QD = encode_queries(network, inputs_N, references, texts)["composed"]
    return queries_QD, encode_gallery(network, inputs_N)[[of_name[name] for name in server.names]]


def _rankings(
    server: ServerQueries, form: Form, reference: ReferenceFate, queries_QD: np.ndarray, gallery_ND: np.ndarray
) -> Iterator[tuple[str, list[str]]]:
    row_of = {name: row for row, name in enumerate(server.names)}
    if form.metric == "recall_subset":
        for query, query_D in zip(server.queries, queries_QD, strict=True):
            members = sorted(row_of[name] for name in form.allowed(query) or ())
            (hits,), _ = top_hits(query_D[None], gallery_ND[members], TOP[form.metric])
            yield query.query_id, [server.names[members[hit]] for hit in hits]
        return
    removing = server.benchmark == "cirr" or reference == "removed"
    removed = [[row_of[query.reference]] if removing else [] for query in server.queries]
    hits_QK, _ = top_hits(queries_QD, gallery_ND, TOP[form.metric], removed)
    for query, hits in zip(server.queries, hits_QK, strict=True):
        yield query.query_id, [server.names[hit] for hit in hits]


def _check_pictures(server: ServerQueries) -> None:
    names = set(server.names)
    needed = {query.reference for query in server.queries}
    if server.benchmark == "cirr":
        needed |= {name for query in server.queries for name in members(query)}
    if missing := sorted(needed - names):
        raise InputError(
            f"{len(missing):,} pictures that queries of {server.annotations.name} need are missing, the first is "
            f"{missing[0]!r}; the server wants every query answered: complete the folder and run stage images again"
        )
    if len(names) <= max(TOP.values()):
        raise InputError(f"the gallery has {len(names)} pictures; the server wants {max(TOP.values())} per query")


def _benchmark(file: AnnotationFile) -> Benchmark | None:
    if file.holds == "queries" and (file.layout == "cirr" or file.layout == "circo"):
        return file.layout
    return None


def _gallery(images: Artifact, gallery: str) -> Iterator[tuple[str, str]]:
    """Name and id of each picture of a gallery, merged ones with the id of the kept one."""
    manifest, duplicates = read_manifest(images, "image_id", "attributes"), read_duplicates(images)
    for table, key in ((manifest, "image_id"), (duplicates, "duplicate_of")):
        for row in table.to_pylist():
            attributes = dict(row["attributes"] or ())
            if gallery in attributes.get(GALLERIES, "").split("|"):
                yield attributes[NAME], row[key]


def _text(query: Record, text: Text) -> str:
    caption, concept = "".join(query.texts[:1]), str(query.source.get("shared_concept", ""))
    return f"{concept} that {caption}" if text == "concept" and concept else caption


def _order(name: str) -> tuple[int, str]:
    """Sort key: numbers by value, other names alphabetically; ties are ranked in this order."""
    return (int(name), "") if name.isdecimal() else (0, name)
