"""Stage ``splits``: no image of a training triplet, nor a near-duplicate of one, is in evaluation."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from spn4cir_core.annotations.annotation_tables import read_annotated_triplets, read_queries
from spn4cir_core.annotations.judged import QUERIES_CORPUS, TRIPLET_CORPORA
from spn4cir_core.captions.caption_table import read_captions
from spn4cir_core.embeddings.vectors import read_embeddings
from spn4cir_core.engine.growth import Corpus, Load
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.errors import InputError
from spn4cir_core.images.files import image_files
from spn4cir_core.images.folder_metadata import VARIANT_COLUMN
from spn4cir_core.images.manifest import read_manifest
from spn4cir_core.index.neighbour_index import FLAT_UP_TO, index_floats, inverted_file_products
from spn4cir_core.splits.assign_splits import EVALUATION, STRICTEST_FIRST, TRAIN, VALIDATION, Assignment, assign_splits
from spn4cir_core.splits.components import components, group_links, product_links
from spn4cir_core.splits.indexed_links import ROWS_COMPARED_IN_FULL, indexed_embedding_links
from spn4cir_core.splits.near_duplicates import (
    Links,
    candidate_cosine,
    embedding_links,
    phash_candidates,
    phash_links,
)
from spn4cir_core.splits.settings import (
    SplitSettings,
    SplitsInput,
    deciding_settings,
    group_column,
    groups_may_be_products,
    reads_captions,
)
from spn4cir_core.splits.split_tables import (
    NEAR_DUPLICATE_SCHEMA,
    NEAR_DUPLICATES_FILE,
    SAME_GROUP,
    SPLIT_SCHEMA,
    SPLITS_FILE,
)
from spn4cir_core.splits.things import thing_words
from spn4cir_core.splits.verification import verified_links
from spn4cir_core.store.artifacts import Artifact

log = logging.getLogger(__name__)
THINGS_CHAIN = (
    "splits: pictures of one thing, with their groups and near-duplicates, chain most of the corpus together; single "
    "images are held out instead (hold_out)"
)
LARGE_COMPONENT, LARGE_COMPONENT_SHARE = 16, 0.02
"""Near-duplicates of one another are warned of from this many images and this share of all images on."""


def split_images(work: Work[SplitsInput]) -> None:
    """Write each image's component and split, and the near-duplicates that were found.

    Raises:
        InputError: no image is left to train on, or the thresholds link more pairs than can be duplicates.
    """
    settings, draft = work.settings.splits, work.draft
    with draft.timed("read"):
        images = read_manifest(work.parents["images"], "image_id", "corpus", "phash", "group", "split")
        requested = _requested_splits(images, work.parents["annotations"])
    image_ids = images["image_id"].to_pylist()
    with draft.timed("compute"):
        links, comparison = near_duplicates(work, images)
        warning = _near_duplicate_warning(image_ids, links)
        if settings.groups_are == "products" and groups_may_be_products(work.settings.images):
            variants = _variants(work) if group_column(work.settings.images) is None else None
            links[SAME_GROUP] = product_links(images["corpus"].to_pylist(), images["group"].to_pylist(), variants)
        groups = group_links(list(zip(images["corpus"].to_pylist(), images["group"].to_pylist(), strict=True)))
        together = np.concatenate([groups, *(pairs for pairs, _ in links.values())])
        component_N = _with_things(image_ids, together, work)
        shares = {VALIDATION: settings.validation_share, EVALUATION: settings.evaluation_share}
        assignment = assign_splits(image_ids, component_N, requested, shares, work.settings.seed)
    if TRAIN not in assignment.splits:
        raise InputError(
            f"no image of {len(image_ids)} is left to train on: each is in a component with one that is held out "
            "by the corpus or its queries. Check the groups and splits of the metadata and the near-duplicate settings"
        )
    with draft.timed("write"):
        columns = [pa.array(image_ids), pa.array(component_N), pa.array(assignment.splits)]
        draft.write_table(pa.Table.from_arrays(columns, schema=SPLIT_SCHEMA), SPLITS_FILE)
        draft.write_table(_near_duplicate_table(image_ids, links), NEAR_DUPLICATES_FILE)
    draft.rows = len(image_ids)
    draft.details |= _details(component_N, assignment, links) | comparison
    draft.details |= warning


def _variants(work: Work[SplitsInput]) -> list[str]:
    """The variant of its product that each image shows; empty where the metadata does not say."""
    attributes = read_manifest(work.parents["images"], "attributes")["attributes"].to_pylist()
    return [dict(row or ()).get(VARIANT_COLUMN, "") for row in attributes]


def _with_things(image_ids: list[str], together: np.ndarray, work: Work[SplitsInput]) -> np.ndarray:
    """Components (N,), the images of each thing in one of them unless that chains the corpus together."""
    component_N = components(len(image_ids), together)
    if not reads_captions(work.settings):
        return component_N
    caption_of = read_captions(work.parents["captions"])
    things = thing_words([caption_of.get(image_id, "") for image_id in image_ids])
    links = group_links([("", thing) for thing in things])
    with_things_N = components(len(image_ids), np.concatenate([together, links]))
    if 2 * np.bincount(with_things_N).max(initial=0) > len(image_ids) > 2 * np.bincount(component_N).max(initial=0):
        log.warning(THINGS_CHAIN)
        work.draft.details["things_warning"] = THINGS_CHAIN
        return component_N
    work.draft.details["things"] = len(set(filter(None, things)))
    return with_things_N


def near_duplicates(work: Work[SplitsInput], images: pa.Table) -> tuple[dict[str, Links], dict[str, Any]]:
    """Links between rows of the manifest, by the methods of the recipe; and details about how they were made.

    Raises:
        InputError: there are too many links, or a picture to be compared cannot be read.
    """
    settings, manifest = work.settings.splits, work.parents["images"]
    links: dict[str, Links] = {}
    details: dict[str, Any] = {}
    if "phash" in settings.near_duplicates_by:
        links["phash"] = _hash_links(settings, images["phash"].to_numpy())
    if "embedding" in settings.near_duplicates_by:
        row_of = {image_id: row for row, image_id in enumerate(images["image_id"].to_pylist())}
        links["embedding"], details = _embedding_links(settings, row_of, work.parents["image_embeddings"])
    if settings.compare_pictures and links:
        details["near_duplicate_candidates"] = {method: len(pairs) for method, (pairs, _) in sorted(links.items())}
        if any(len(pairs) for pairs, _ in links.values()):
            pictures = read_manifest(manifest, "path", "pixel_sha256")
            files = image_files(work.settings.images, work.store)
            share = settings.most_different_share
            links = verified_links(links, pictures, files, work.store, share, work.progress)
    return links, details


def _hash_links(settings: SplitSettings, phash_N: np.ndarray) -> Links:
    if not settings.compare_pictures:
        return phash_links(phash_N, settings.near_duplicate_bits)
    few = len(phash_N) <= ROWS_COMPARED_IN_FULL
    return phash_candidates(phash_N, settings.candidate_bits if few else settings.near_duplicate_bits)


def _embedding_links(
    settings: SplitSettings, row_of: dict[str, int], embeddings: Artifact
) -> tuple[Links, dict[str, Any]]:
    embedded_ids, vectors = read_embeddings(embeddings)
    embedded, cosine = np.array([row_of[name] for name in embedded_ids], np.int64), settings.near_duplicate_cosine
    details: dict[str, Any] = {}
    if settings.compare_pictures:
        cosine = candidate_cosine(vectors, min(settings.candidate_cosine, cosine), cosine)
        details["near_duplicate_candidate_cosine"] = round(cosine, 4)
    if len(vectors) <= ROWS_COMPARED_IN_FULL:
        pairs, cosines = embedding_links(vectors, cosine)
    else:
        (pairs, cosines), details["near_duplicate_index"] = indexed_embedding_links(vectors, cosine)
    return (embedded[pairs], cosines), details


def _requested_splits(images: pa.Table, annotations: Artifact) -> list[set[str]]:
    """The requested splits of each image: by the corpus, by a query, by an annotated triplet.

    Judgements request none: what they serve is the split that the images had, and judging must not move others.
    """
    requested = {
        image_id: {split} if split else set()
        for image_id, split in zip(images["image_id"].to_pylist(), images["split"].to_pylist(), strict=True)
    }
    for query in (query for query in read_queries(annotations) if query["corpus"] != QUERIES_CORPUS):
        lists = ("more_reference_ids", "target_ids", "negative_ids")
        for image_id in (query["reference_id"], *(image_id for name in lists for image_id in query[name])):
            requested[image_id].add(EVALUATION)
    triplets = read_annotated_triplets(annotations, "reference_id", "target_id", "corpus").to_pylist()
    for triplet in (triplet for triplet in triplets if triplet["corpus"] not in TRIPLET_CORPORA):
        for image_id in (triplet["reference_id"], triplet["target_id"]):
            requested[image_id] = requested[image_id] or {TRAIN}
    return list(requested.values())


def _near_duplicate_table(image_ids: list[str], links: dict[str, Links]) -> pa.Table:
    names = np.array(image_ids, dtype=object)
    tables = [
        pa.Table.from_arrays(
            [
                pa.array(names[pairs[:, 0]], pa.string()),
                pa.array(names[pairs[:, 1]], pa.string()),
                pa.array(similarity, pa.float32()),
                pa.array([found_by] * len(pairs), pa.string()),
            ],
            schema=NEAR_DUPLICATE_SCHEMA,
        )
        for found_by, (pairs, similarity) in sorted(links.items())
    ]
    return pa.concat_tables([NEAR_DUPLICATE_SCHEMA.empty_table(), *tables])


def _details(component_N: np.ndarray, assignment: Assignment, links: dict[str, Links]) -> dict[str, Any]:
    sizes = np.bincount(component_N)
    counts = Counter(assignment.splits)
    largest = int(sizes.max())
    details: dict[str, Any] = {
        "images": {split: counts[split] for split in reversed(STRICTEST_FIRST)},
        "components": len(sizes),
        "largest_component": largest,
        "largest_component_share": round(largest / len(component_N), 4),
        "images_without_asked_split": assignment.free_images,
        "near_duplicate_pairs": {found_by: len(pairs) for found_by, (pairs, _) in sorted(links.items())},
        "conflicts": dict(sorted(assignment.conflicts.items())),
    }
    if largest > 1 and 2 * largest > len(component_N):
        details["warning"] = (
            f"one component holds {largest} of {len(component_N)} images: near-duplicates or groups chain the corpus "
            "together; set the near-duplicate thresholds stricter"
        )
    return details


def _near_duplicate_warning(image_ids: list[str], links: dict[str, Links]) -> dict[str, Any]:
    """A warning where one picture has many near-duplicates: no triplets, no negatives, and right answers."""
    component_N = components(
        len(image_ids), np.concatenate([np.empty((0, 2), np.int64), *(p for p, _ in links.values())])
    )
    sizes = np.bincount(component_N)
    largest = int(sizes.argmax())
    if sizes[largest] < max(LARGE_COMPONENT, LARGE_COMPONENT_SHARE * len(image_ids)):
        return {"largest_near_duplicate_component": int(sizes[largest])}
    examples = [image_ids[row] for row in np.flatnonzero(component_N == largest)[:3].tolist()]
    return {
        "largest_near_duplicate_component": int(sizes[largest]),
        "near_duplicate_warning": (
            f"{sizes[largest]} of {len(image_ids)} images are linked as near-duplicates of one another, such as "
            f"{', '.join(examples)}: if they differ in what matters, set splits.most_different_share lower"
        ),
    }


def growth(corpus: Corpus, settings: SplitsInput) -> Load:
    """Every image, and where embeddings are compared every image with every other or, above, an inverted file."""
    images = corpus.images
    if "embedding" not in settings.splits.near_duplicates_by:
        return Load(images, "image")
    if images <= FLAT_UP_TO:
        return Load(images, "image", products=images**2 * corpus.dimensions / 2)
    products = inverted_file_products(images, corpus.lists_visited) * corpus.dimensions
    return Load(images, "image", products, held_floats=index_floats(images, corpus.dimensions))


SPLITS = Stage(
    name="splits",
    parents=("images", "annotations", "image_embeddings", "captions"),
    view=SplitsInput,
    version=1,
    write=split_images,
    parents_if={"captions": reads_captions},
    fingerprint_part={"splits": deciding_settings, "images": group_column},
    growth=growth,
)
