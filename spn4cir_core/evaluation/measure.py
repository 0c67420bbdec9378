"""Measures every model on every query in every mode: ranks, average precisions and first hits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spn4cir_core.engine.progress import Progress
from spn4cir_core.errors import InputError
from spn4cir_core.evaluation.base import QuerySet
from spn4cir_core.evaluation.encode import MODES, encode_gallery, encode_queries, same_target_encoder
from spn4cir_core.evaluation.ranks import middles, ranks_and_hits, ranks_of_scores
from spn4cir_core.evaluation.recall import average_precisions
from spn4cir_core.evaluation.reference_pairs import ReferencePairs
from spn4cir_core.evaluation.searched import searched_ranks
from spn4cir_core.index.image_index import ImageIndex
from spn4cir_core.models.devices import choose_device
from spn4cir_core.training.checkpoints import as_module

if TYPE_CHECKING:
    from spn4cir_core.backbones.base import Network
    from spn4cir_core.training.checkpoints import Checkpoint

HITS = 10
"""First hits kept per query, for people to look at."""


@dataclass(frozen=True)
class Answers:
    """Ranks, precisions and hits of one query set by (model, mode)."""

    query_set: QuerySet
    ranks: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    """(Q,) ranks of the best target, from 0."""
    precision: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    """(Q, K) average precision of the first k, for each of the set's ``map_ks``."""
    hits: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    """(Q, HITS) rows of ``gallery_ids``; −1 where the query's gallery has no further image."""
    searched: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)
    """(model, k) → (Q,) ranks of composed queries in a search for k images; k or more where it finds no target."""
    searched_by: set[str] = field(default_factory=set)
    """The indexes they were searched through."""
    depth: int = HITS
    """How many first hits a reranker gets."""
    candidates: dict[str, np.ndarray] = field(default_factory=dict)
    """By model, of composed queries: (Q, ``depth``) first hits, as ``hits``."""

    @property
    def models(self) -> frozenset[str]:
        """All that answered."""
        return frozenset(model for model, _ in self.ranks)

    def start(self, model: str, mode: str) -> None:
        """Allocate the arrays of one model in one mode."""
        count = len(self.query_set.queries)
        self.ranks[model, mode] = np.zeros(count, np.int32)
        self.precision[model, mode] = np.zeros((count, len(self.query_set.map_ks)))
        self.hits[model, mode] = np.full((count, HITS), -1, np.int64)
        if mode == "composed":
            self.candidates[model] = np.full((count, self.depth), -1, np.int64)

    def add(
        self,
        model: str,
        mode: str,
        rows: Sequence[int],
        answered: tuple[np.ndarray, np.ndarray, np.ndarray],
        row_in_set: np.ndarray,
    ) -> None:
        """Take ranks, precisions and hits of some queries; ``row_in_set`` maps rows of their gallery, −1 to −1."""
        ranks, precision, hits = answered
        self.ranks[model, mode][rows] = ranks
        self.precision[model, mode][rows] = precision
        for first_hits in (self.hits[model, mode], *([self.candidates[model]] if mode == "composed" else ())):
            width = min(hits.shape[1], first_hits.shape[1])
            first_hits[rows, :width] = row_in_set[hits[:, :width]]

    def repeat(self, model: str, source: str) -> None:
        """Take another model's answers for this model's: they are one network."""
        for answers in (self.ranks, self.precision, self.hits, self.searched):
            named: dict[tuple[str, Any], np.ndarray] = dict(answers)
            answers.update({(model, of): own for (name, of), own in named.items() if name == source})
        self.candidates[model] = self.candidates[source]


@dataclass(frozen=True)
class Searches:
    """Searches through indexes, to be measured beside comparing every image."""

    index: Callable[[np.ndarray], ImageIndex]
    """Makes the index of a gallery's vectors: (N, D), or (N, T, D) where an image has T."""
    ks: Sequence[int]
    """How many images are searched for, unless the query set says it."""


@dataclass(frozen=True)
class ModelVectors:
    """One model's query and gallery vectors, for further scores of the same queries (the blend)."""

    gallery_ND: np.ndarray
    """Vectors of all images of all galleries, sorted by id; (N, T, D) where an image has T."""
    queries: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    """Query set → mode → (P, D), one row for each pair of :class:`ReferencePairs`; (Q, D) with one reference each."""


def ask(
    models: Mapping[str, Callable[[], Checkpoint]],
    query_sets: Sequence[QuerySet],
    inputs_of: Callable[[Checkpoint, Sequence[str]], np.ndarray],
    progress: Progress,
    searches: Searches | None = None,
    vectors_of: dict[str, ModelVectors] | None = None,
    same_as: Mapping[str, str] | None = None,
    depth: int = HITS,
) -> list[Answers]:
    """Ask all models all queries.

    Args:
        models: by name, what loads the checkpoint; one is in memory at a time, besides the first.
        inputs_of: inputs of images, by id, as ``network.read_images`` makes them. The stages of one
            backbone share them, so they are made by the first network only.
        searches: what to measure besides; None: nothing.
        vectors_of: is filled with every model's vectors; None: they are not kept.
        same_as: model → the model that is the same network, or itself; each network is asked once. None: all differ.
        depth: how many first hits a reranker gets.

    Raises:
        InputError: a query names a reference or target that is not in its gallery.
    """
    answers = [Answers(query_set, depth=depth) for query_set in query_sets if query_set.queries]
    image_ids = gallery_images(answers)
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    for answer in answers:
        _check(answer.query_set)
    first: Network | None = None
    same_as = {name: name for name in models} if same_as is None else same_as
    apart = [name for name in models if same_as[name] == name]
    for number, name in enumerate(apart if answers else ()):
        checkpoint = models[name]()
        network = checkpoint.network
        if first is None:
            inputs_N = inputs_of(checkpoint, image_ids)
        as_module(network).to(choose_device("auto"))
        if first is None:
            first = network
            first_vectors_ND = vectors_ND = encode_gallery(network, inputs_N)
        else:
            same = same_target_encoder(first, network)
            vectors_ND = first_vectors_ND if same else encode_gallery(network, inputs_N)
        vectors = ModelVectors(vectors_ND)
        for answer in answers:
            encoded = _ask_one(name, network, answer, inputs_N, vectors_ND, row_of, searches)
            vectors.queries[answer.query_set.name] = encoded
        if vectors_of is not None:
            vectors_of[name] = vectors
        progress("asking models", number + 1, len(apart))
    for name in (name for name in models if same_as[name] != name):
        for answer in answers:
            answer.repeat(name, same_as[name])
        if vectors_of is not None and answers:
            vectors_of[name] = vectors_of[same_as[name]]
    return answers


def _ask_one(
    name: str,
    network: Network,
    answer: Answers,
    inputs_N: np.ndarray,
    vectors_ND: np.ndarray,
    row_of: Mapping[str, int],
    searches: Searches | None,
) -> dict[str, np.ndarray]:
    query_set, queries = answer.query_set, answer.query_set.queries
    pairs = ReferencePairs.of(queries)
    texts = [queries[number].modified_text for number in pairs.query_P]
    per_pair = encode_queries(network, inputs_N, [row_of[image_id] for image_id in pairs.reference_ids], texts)
    encoded = {mode: pairs.mean_vectors(vectors_PD) for mode, vectors_PD in per_pair.items()}
    set_row_of = {image_id: row for row, image_id in enumerate(query_set.gallery_ids)}
    for mode in MODES:
        answer.start(name, mode)
    for rows, gallery_ids in by_gallery(query_set):
        gallery = GalleryQueries(query_set, rows, gallery_ids, answer.depth)
        gallery_ND = vectors_ND[[row_of[image_id] for image_id in gallery_ids]]
        of_set = np.array([set_row_of[image_id] for image_id in gallery_ids] + [-1])
        for mode in MODES:
            answer.add(name, mode, rows, gallery.answer(encoded[mode][rows], gallery_ND), of_set)
        if searches is not None:
            _search(name, answer, searches, gallery, rows, encoded["composed"][rows], gallery_ND)
    return per_pair


def gallery_images(answers: Sequence[Answers]) -> list[str]:
    """Ids of all images of the galleries, sorted."""
    return sorted({image_id for answer in answers for image_id in answer.query_set.gallery_ids})


def _search(
    name: str,
    answer: Answers,
    searches: Searches,
    gallery: GalleryQueries,
    rows: Sequence[int],
    queries_QD: np.ndarray,
    gallery_ND: np.ndarray,
) -> None:
    index = searches.index(gallery_ND)
    answer.searched_by.add(index.says)
    for k in answer.query_set.ks or searches.ks:
        ranks_Q = answer.searched.setdefault((name, k), np.zeros(len(answer.query_set.queries), np.int32))
        ranks_Q[rows] = searched_ranks(
            index, queries_QD, gallery_ND, gallery.targets, gallery.removed, k, *gallery.ties
        )


def by_gallery(query_set: QuerySet) -> Iterator[tuple[list[int], tuple[str, ...]]]:
    """Places of the queries of each gallery, with the gallery's images."""
    rows_of: dict[str, list[int]] = {}
    for row, query in enumerate(query_set.queries):
        rows_of.setdefault(query.gallery, []).append(row)
    for rows in rows_of.values():
        yield rows, query_set.gallery_of(query_set.queries[rows[0]])


class GalleryQueries:
    """Queries of one gallery: their targets and what is removed, as rows of it."""

    def __init__(self, query_set: QuerySet, rows: Sequence[int], gallery_ids: Sequence[str], depth: int = HITS) -> None:
        row_of = {image_id: row for row, image_id in enumerate(gallery_ids)}
        queries = [query_set.queries[row] for row in rows]
        self.ties = query_set.ties, middles([query.query_id for query in queries])
        self.images = len(gallery_ids)
        self.map_ks = query_set.map_ks
        self.depth = max(HITS, depth)
        self.top = max(self.depth, *self.map_ks)
        self.targets = [[row_of[target] for target in query.target_ids] for query in queries]
        self.removed = [
            [row_of[image_id] for image_id in query_set.removed_for(query) if image_id in row_of] for query in queries
        ]

    def answer(self, queries_QD: np.ndarray, gallery_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(Q,) ranks, (Q, K) average precisions, (Q, ≤ depth) first hits, −1 where there is none."""
        return self._answered(*ranks_and_hits(queries_QD, gallery_ND, self.targets, self.removed, self.top, *self.ties))

    def answer_scores(self, scores_QN: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same from scores."""
        return self._answered(*ranks_of_scores(scores_QN, self.targets, self.removed, self.top, *self.ties))

    def _answered(
        self, ranks: np.ndarray, rows: np.ndarray, scores: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        hits = np.where(np.isfinite(scores), rows, -1)
        right_QK, targets_Q = self._are_right(hits), [len(right) for right in self.targets]
        precision_QK = np.stack([average_precisions(right_QK[:, :k], targets_Q) for k in self.map_ks], axis=1)
        return ranks, precision_QK, hits[:, : self.depth]

    def _are_right(self, hits_QK: np.ndarray) -> np.ndarray:
        """(Q, K) bool: which hits are targets of their query."""
        is_target_QN = np.zeros((len(hits_QK), self.images + 1), bool)  # the last column is that of no hit, −1
        for is_target_N, right in zip(is_target_QN, self.targets, strict=True):
            is_target_N[right] = True
        right_QK: np.ndarray = np.take_along_axis(is_target_QN, hits_QK, axis=1)
        return right_QK


def _check(query_set: QuerySet) -> None:
    whole = set(query_set.gallery_ids)
    parts = {name: set(image_ids) for name, image_ids in query_set.galleries.items()}
    for query in query_set.queries:
        gallery = parts[query.gallery] if query.gallery else whole
        gone = set(query_set.removed_for(query))
        inside = whole.issuperset(query.reference_ids) and gallery.issuperset(query.target_ids)
        if not inside or not set(query.target_ids) - gone:
            raise InputError(
                f"query {query.query_id!r} of {query_set.name!r}: its reference {query.reference_id!r} and its targets "
                f"{list(query.target_ids)[:3]} must be different images of the gallery; correct the evaluator"
            )
