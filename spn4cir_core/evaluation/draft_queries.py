"""A file of composed queries for a person to edit: drafts made from what the corpus already has."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from spn4cir_core.captions.caption_table import read_captions
from spn4cir_core.captions.words import words_of
from spn4cir_core.errors import InputError
from spn4cir_core.evaluation.base import EVALUATORS, Evaluator, Query
from spn4cir_core.evaluation.labels import DETECT, Labels
from spn4cir_core.evaluation.settings import ReportInput
from spn4cir_core.images.files import image_files
from spn4cir_core.images.manifest import manifest_column
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.texts.attributes import COLOURS

Source = Literal["held_out", "labels"]

COLUMNS = ("query_id", "reference", "modified_text", "targets", "kind", "reference_caption", "target_captions")
"""Those of ``queries.csv``, and two that help the person and are read by no one else."""
SHOWN_CAPTIONS = 5
LEAST_COLOURED = 0.2
"""The share of captions that must name a colour, so that queries ask for one."""


def draft(
    tables: ReportInput, store: Store, parents: Mapping[str, Artifact], source: Source, corpus: str, count: int
) -> tuple[int, bytes]:
    """Drafts for one corpus of a recipe: how many, and the content of its ``queries.csv``.

    Args:
        parents: images, annotations, splits, captions and triplets, by noun.
        source: the evaluator whose queries are drafts; as the recipe sets it, if it does.
        corpus: empty if the recipe has one only.

    Raises:
        InputError: there are several corpora, or none of that name, or nothing to draft from.
    """
    known = {evaluator.plugin_kind: evaluator for evaluator in tables.eval_report.evaluators}
    evaluator: Evaluator = known.get(source) or EVALUATORS.build(source)
    if isinstance(evaluator, Labels):
        evaluator = worded_by_corpus(evaluator, read_captions(parents["captions"]).values())
    sets = evaluator.query_sets(parents, image_files(tables.images, store), tables.seed)
    corpus_of = manifest_column(parents["images"], "corpus")
    by_corpus: dict[str, list[Query]] = {}
    for query in (query for made in sets for query in made.queries):
        by_corpus.setdefault(corpus_of[query.reference_id], []).append(query)
    corpora = [corpus] if corpus else sorted(by_corpus)
    if len(corpora) > 1:
        raise InputError(f"name one corpus with --corpus: {', '.join(map(repr, corpora))} have {source!r} queries")
    if not corpora or corpora[0] not in by_corpus:
        raise InputError(f"nothing to draft from: corpus {corpus!r} has no {source!r} queries; see --from")
    queries = drafted(by_corpus[corpora[0]], count, tables.seed)
    folder = tables.images.reader.corpus_folder(corpora[0])
    return len(queries), queries_csv(queries, folder, read_captions(parents["captions"]))


def worded_by_corpus(evaluator: Labels, captions: Collection[str]) -> Labels:
    """The evaluator with labels in plain words, and without colours where hardly a caption names one.

    "The same colour, but …" is a sensible question about clothes, and none about cartons of milk.
    """
    coloured = sum(not set(COLOURS).isdisjoint(words_of(caption)) for caption in captions)
    if evaluator.colour == DETECT and coloured < LEAST_COLOURED * len(captions):
        return evaluator.model_copy(update={"plain_labels": True, "colour": "", "label_text": "{label}"})
    return evaluator.model_copy(update={"plain_labels": True})


def drafted(queries: Sequence[Query], count: int, seed: int) -> list[Query]:
    """A seeded draw of at most ``count`` queries, one of each reference image, then further ones; in their order."""
    order = np.random.default_rng(seed).permutation(len(queries)).tolist()
    seen: set[str] = set()
    later: list[int] = []
    rows: list[int] = []
    for row in order:
        reference = queries[row].reference_id
        (later if reference in seen else rows).append(row)
        seen.add(reference)
    return [queries[row] for row in sorted((rows + later)[:count])]


def queries_csv(queries: Sequence[Query], folder: str, captions: Mapping[str, str]) -> bytes:
    """``queries.csv`` for the corpus whose files lie in ``folder`` of the image root, UTF-8.

    Raises:
        InputError: a picture lies outside the folder.
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, query in enumerate(queries, 1):
        targets = [_inside(folder, target) for target in query.target_ids]
        target_captions = " | ".join(captions.get(target, "") for target in query.target_ids[:SHOWN_CAPTIONS])
        reference = _inside(folder, query.reference_id)
        cells = (reference, query.modified_text, "|".join(targets), query.kind)
        writer.writerow([f"d{number:04d}", *cells, captions.get(query.reference_id, ""), target_captions])
    return stream.getvalue().encode("utf-8")


def _inside(folder: str, image_id: str) -> str:
    path, base = PurePosixPath(image_id), PurePosixPath(folder)
    if not path.is_relative_to(base):
        raise InputError(
            f"picture {image_id!r} does not lie in the corpus's folder {folder!r}; draft queries with a recipe "
            "that reads this corpus alone"
        )
    return path.relative_to(base).as_posix()
