"""Every model, asked every query in every mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from spn4cir_core.errors import InputError
from spn4cir_core.evaluation.base import QuerySet
from spn4cir_core.evaluation.encode import MODES, encode_gallery, encode_queries, same_target_encoder
from spn4cir_core.evaluation.ranks import best_ranks, top_hits
from spn4cir_core.evaluation.recall import average_precision
from spn4cir_core.progress import Progress

if TYPE_CHECKING:
    from spn4cir_core.backbones.base import Network
    from spn4cir_core.training.checkpoints import Checkpoint

HITS = 10
"""First hits kept per query: average precision is over these, and galleries show them."""


@dataclass(frozen=True)
class Answers:
    """What the models answered to one query set; keys are (model, mode)."""

    query_set: QuerySet
    ranks: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    """(Q,) ranks of the best target, from 0."""
    precision: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    """(Q,) average precision of the first ``HITS``."""
    hits: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    """(Q, ≤ HITS) rows of the gallery; −1 where the gallery has no further image."""


def ask(
    models: Mapping[str, Callable[[], Checkpoint]],
    query_sets: Sequence[QuerySet],
    inputs_of: Callable[[Checkpoint, Sequence[str]], np.ndarray],
    progress: Progress,
) -> list[Answers]:
    """Ask all models all queries.

    Args:
        models: by name, what loads the checkpoint; one is in memory at a time, besides the first.
        inputs_of: inputs of images, by id, as ``network.read_images`` makes them. The stages of one
            backbone share them, so they are made by the first network only.

    Raises:
        InputError: a query names a reference or target that is not in its gallery.
    """
    answers = [Answers(query_set) for query_set in query_sets if query_set.queries]
    image_ids = sorted({image_id for answer in answers for image_id in answer.query_set.gallery_ids})
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    for answer in answers:
        _check(answer.query_set)
    first: Network | None = None
    for number, (name, load) in enumerate(models.items() if answers else ()):
        checkpoint = load()
        network = checkpoint.network
        if first is None:
            first, inputs_N = network, inputs_of(checkpoint, image_ids)
            first_vectors_ND = vectors_ND = encode_gallery(network, inputs_N)
        else:
            same = same_target_encoder(first, network)
            vectors_ND = first_vectors_ND if same else encode_gallery(network, inputs_N)
        for answer in answers:
            _ask_one(name, network, answer, inputs_N, vectors_ND, row_of)
        progress("asking models", number + 1, len(models))
    return answers


def _ask_one(
    name: str,
    network: Network,
    answer: Answers,
    inputs_N: np.ndarray,
    vectors_ND: np.ndarray,
    row_of: Mapping[str, int],
) -> None:
    asked = answer.query_set
    place = {image_id: row for row, image_id in enumerate(asked.gallery_ids)}
    gallery_ND = vectors_ND[[row_of[image_id] for image_id in asked.gallery_ids]]
    references = [row_of[query.reference_id] for query in asked.queries]
    targets = [[place[target] for target in query.target_ids] for query in asked.queries]
    removed = [[place[query.reference_id]] if asked.remove_reference else [] for query in asked.queries]
    encoded = encode_queries(network, inputs_N[references], [query.modified_text for query in asked.queries])
    for mode in MODES:
        answer.ranks[name, mode] = best_ranks(encoded[mode], gallery_ND, targets, removed)
        rows, scores = top_hits(encoded[mode], gallery_ND, HITS, removed)
        hits = np.where(np.isfinite(scores), rows, -1)
        answer.hits[name, mode] = hits
        answer.precision[name, mode] = np.array(
            [average_precision(np.isin(row, right), len(right)) for row, right in zip(hits, targets, strict=True)]
        )


def _check(query_set: QuerySet) -> None:
    gallery = set(query_set.gallery_ids)
    for query in query_set.queries:
        gone = {query.reference_id} if query_set.remove_reference else set()
        if query.reference_id not in gallery or not set(query.target_ids) - gone or set(query.target_ids) - gallery:
            raise InputError(
                f"query {query.query_id!r} of {query_set.name!r}: its reference {query.reference_id!r} and its targets "
                f"{list(query.target_ids)[:3]} must be different images of the gallery; correct the evaluator"
            )
