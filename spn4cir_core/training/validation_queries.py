"""The queries of a validation while training goes on: held-out triplets, or edits of held-out captions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spn4cir_core.annotations.annotation_tables import read_annotated_triplets
from spn4cir_core.captions.caption_table import read_captions
from spn4cir_core.embeddings.vectors import read_embeddings
from spn4cir_core.errors import InputError
from spn4cir_core.images.manifest import PICTURE, read_manifest
from spn4cir_core.splits.split_tables import split_of_images
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.texts.caption_edit_queries import CaptionEditQuery, caption_edit_queries
from spn4cir_core.texts.differences import caption_meaning
from spn4cir_core.training.settings import ValidationSettings
from spn4cir_core.triplets.triplet_tables import read_triplets

TRIPLETS, CAPTION_EDITS, AUTO = "triplets", "caption_edits", "auto"
LEAST_QUERIES = 30
"""``auto`` needs queries of so many reference images; fewer are too few to decide by."""
SEEDS_APART = 1000
"""Between two draws of caption edits, so that neighbouring seeds of a recipe share none."""


@dataclass(frozen=True)
class ValidationQueries:
    """Q queries over a gallery of G images."""

    gallery: pa.Table
    """Columns ``path`` and ``pixel_sha256``."""
    references: np.ndarray
    """Gallery row of each reference image."""
    targets: np.ndarray
    """Gallery row of each target."""
    texts: list[str]
    excluded: list[np.ndarray]
    """Gallery rows that are not in a query's ranking: its reference, and other images known to answer it."""
    source: str
    """``triplets`` or ``caption_edits``."""


def read_validation(
    settings: ValidationSettings, triplets: Artifact, ancestors: Mapping[str, Artifact], seed: int
) -> ValidationQueries | None:
    """The validation queries: by ``settings.queries`` triplets of the validation split, or edits of its captions.

    Triplets are the generated ones, and the annotated ones whose two images are in the split. The text is the
    triplet's first; a seeded sample where there are more than ``max_queries``. None where ``auto`` has too few of both.

    Raises:
        InputError: the validation split gives no query.
        StoreError: the artefacts the triplets were made of have been deleted.
    """
    images = read_manifest(ancestors["images"], *PICTURE)
    split_of = split_of_images(ancestors["splits"])
    gallery = images.take(_gallery_rows(settings, images["image_id"].to_pylist(), split_of, seed))
    if settings.queries != TRIPLETS:
        annotated = _annotated(ancestors["annotations"], split_of) if settings.queries == AUTO else []
        if len(annotated) >= LEAST_QUERIES:
            return _triplets(annotated, gallery, settings.max_queries, seed)
        captions = read_captions(ancestors["captions"])
        embeddings = ancestors["image_embeddings"]
        queries = _caption_edits(captions, embeddings, gallery, split_of, settings, seed)
        if settings.queries == AUTO and (queries is None or len(np.unique(queries.references)) < LEAST_QUERIES):
            return None
        if queries is None:
            raise InputError(_no_caption_edits(captions, split_of))
        return queries
    rows = _generated(triplets) if "generated" in settings.origins else []
    if "annotated" in settings.origins:
        rows += _annotated(ancestors["annotations"], split_of)
    if not rows:
        raise InputError(
            f"validation.every_steps = {settings.every_steps}, but there is no {' or '.join(settings.origins)} triplet "
            "in the validation split. Raise [splits] validation_share (pictures whose split the corpus asks for itself "
            "have no part in it), or leave validation.every_steps out"
        )
    return _triplets(rows, gallery, settings.max_queries, seed)


def _gallery_rows(
    settings: ValidationSettings, image_ids: Sequence[str], split_of: Mapping[str, str], seed: int
) -> np.ndarray:
    """Rows of the images that are searched, in their order."""
    splits = np.array([split_of.get(image, "") for image in image_ids], dtype=object)
    held_out, training = np.flatnonzero(splits == "validation"), np.flatnonzero(splits == "train")
    if settings.gallery == "validation":
        return held_out
    if settings.max_training_images is not None and len(training) > settings.max_training_images:
        training = np.random.default_rng(seed).choice(training, settings.max_training_images, replace=False)
    return np.sort(np.concatenate([held_out, training]))


def _triplets(rows: list[tuple[str, str, str]], gallery: pa.Table, most: int, seed: int) -> ValidationQueries:
    row_of = {image: row for row, image in enumerate(gallery["image_id"].to_pylist())}
    if len(rows) > most:
        sample = np.random.default_rng(seed).choice(len(rows), most, replace=False)
        rows = [rows[number] for number in sorted(sample)]
    references, targets, texts = zip(*rows, strict=True)
    reference_rows = np.array([row_of[image] for image in references])
    return ValidationQueries(
        gallery=gallery,
        references=reference_rows,
        targets=np.array([row_of[image] for image in targets]),
        texts=list(texts),
        excluded=list(reference_rows[:, None]),
        source=TRIPLETS,
    )


def _caption_edits(
    captions: Mapping[str, str],
    embeddings: Artifact,
    gallery: pa.Table,
    split_of: Mapping[str, str],
    settings: ValidationSettings,
    seed: int,
) -> ValidationQueries | None:
    """Queries between captions of the validation split; images whose caption says what the target's says are excluded.
    Of a pair that is drawn several times the first.

    None where no two captions of the split share most of their words.
    """
    images = gallery["image_id"].to_pylist()
    held_out = [row for row, image in enumerate(images) if split_of.get(image) == "validation" and image in captions]
    own = [captions[images[row]] for row in held_out]
    vectors_ND = _vectors(embeddings, [images[row] for row in held_out])
    drawn: dict[tuple[int, int], CaptionEditQuery] = {}
    for draw in range(settings.targets_per_reference):
        for query in caption_edit_queries(own, settings.max_queries, seed + draw * SEEDS_APART, vectors_ND):
            drawn.setdefault((query.reference, query.target), query)
    queries = list(drawn.values())[: settings.max_queries]
    if not queries:
        return None
    rows_of: defaultdict[object, list[int]] = defaultdict(list)
    for row, image in enumerate(images):
        if image in captions:
            rows_of[caption_meaning(captions[image])].append(row)
    references = np.array([held_out[query.reference] for query in queries])
    targets = np.array([held_out[query.target] for query in queries])
    answers = [np.array(rows_of[caption_meaning(captions[images[row]])]) for row in targets]
    return ValidationQueries(
        gallery=gallery,
        references=references,
        targets=targets,
        texts=[query.modified_text for query in queries],
        excluded=[
            np.append(rows[rows != target], reference)
            for rows, target, reference in zip(answers, targets, references, strict=True)
        ],
        source=CAPTION_EDITS,
    )


def _vectors(embeddings: Artifact, image_ids: Sequence[str]) -> np.ndarray:
    """(N, D) float32 vectors of the frozen image encoder; zeros where an image has none."""
    read = read_embeddings(embeddings)
    row_of = read.row_of
    rows_N = np.array([row_of.get(image_id, -1) for image_id in image_ids], np.int64)
    vectors_ND = np.asarray(read.vectors_ND[rows_N], np.float32)
    vectors_ND[rows_N < 0] = 0
    return vectors_ND


def _no_caption_edits(captions: Mapping[str, str], split_of: Mapping[str, str]) -> str:
    captioned = sum(split_of.get(image) == "validation" for image in captions)
    return (
        f'validation.queries = "{CAPTION_EDITS}", but no two captions of the {captioned} captioned pictures of '
        "the validation split share most of their words and differ. Raise [splits] validation_share, give pictures "
        'captions, or use validation.queries = "triplets"'
    )


def _generated(triplets: Artifact) -> list[tuple[str, str, str]]:
    table = read_triplets(triplets, "triplet_id", "reference_id", "target_id", "modified_texts", "split")
    rows = table.filter(pc.equal(table["split"], "validation")).sort_by("triplet_id").to_pylist()
    return [(row["reference_id"], row["target_id"], row["modified_texts"][0]) for row in rows if row["modified_texts"]]


def _annotated(annotations: Artifact, split_of: Mapping[str, str]) -> list[tuple[str, str, str]]:
    table = read_annotated_triplets(annotations, "annotation_id", "reference_id", "target_id", "modified_text")
    rows = table.sort_by("annotation_id").to_pylist()
    return [
        (row["reference_id"], row["target_id"], row["modified_text"])
        for row in rows
        if split_of.get(row["reference_id"]) == split_of.get(row["target_id"]) == "validation"
        and row["reference_id"] != row["target_id"]
        and row["modified_text"].strip()
    ]
