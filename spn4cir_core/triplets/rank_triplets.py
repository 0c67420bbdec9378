"""Ask a ranker about every triplet: does the text, the reference, or both together lead to the target?"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from spn4cir_core.triplets.cached_vectors import CachedVectors
from spn4cir_core.triplets.ranker import Ranker
from spn4cir_core.triplets.ranks import OUTSIDE, count_before, ranks
from spn4cir_core.triplets.scores import Scores
from spn4cir_core.triplets.triplet import Picture, Triplet

TRIPLETS_AT_ONCE = 20_000
"""Bounds the memory; ranks do not depend on it."""


def rank_triplets(
    triplets: Iterable[Triplet], pictures: Mapping[str, Picture], ranker: Ranker, cache: CachedVectors
) -> dict[str, Scores]:
    """Scores by triplet id. A triplet one of whose images the ranker cannot rank gets none.

    Candidates are the images of the triplet's split, without its reference; no N×N matrix is held.

    Raises:
        InputError: the model cannot be loaded, or a picture cannot be read.
        MissingExtra: its package is not installed.
    """
    by_split: dict[str, list[Triplet]] = defaultdict(list)
    for triplet in sorted(triplets, key=lambda triplet: triplet.triplet_id):
        shown = all(ranker.can_rank(pictures[name]) for name in (triplet.reference_id, triplet.target_id))
        if shown and triplet.modified_texts:
            by_split[triplet.split].append(triplet)
    scores: dict[str, Scores] = {}
    for split, of_split in sorted(by_split.items()):
        rankable = [name for name, item in pictures.items() if item.split == split and ranker.can_rank(item)]
        candidates = drawn(rankable, ranker.max_candidates)
        for start in range(0, len(of_split), TRIPLETS_AT_ONCE):
            part = of_split[start : start + TRIPLETS_AT_ONCE]
            scores |= _Questions(part, candidates, pictures, ranker, cache).scores()
    return scores


def drawn(names: Sequence[str], most: int) -> list[str]:
    """At most so many names, those with the smallest hashes, sorted: more names add some and drop some, no more."""
    if len(names) <= most:
        return sorted(names)
    return sorted(sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())[:most])


class _Questions:
    """Triplets of one split, one row per triplet and text."""

    def __init__(
        self,
        triplets: Sequence[Triplet],
        candidates: Sequence[str],
        pictures: Mapping[str, Picture],
        ranker: Ranker,
        cache: CachedVectors,
    ) -> None:
        self._triplets = triplets
        self._questions = [(triplet, text) for triplet in self._triplets for text in triplet.modified_texts]
        self._pictures, self._ranker, self._cache = pictures, ranker, cache
        row_of = {name: row for row, name in enumerate(candidates)}
        self._candidates = self._images(list(candidates))
        self._target_rows = np.array([row_of.get(triplet.target_id, OUTSIDE) for triplet, _ in self._questions])
        self._reference_rows = np.array([row_of.get(triplet.reference_id, OUTSIDE) for triplet, _ in self._questions])
        self._others = len(candidates) - (self._target_rows != OUTSIDE) - (self._reference_rows != OUTSIDE)

    def scores(self) -> dict[str, Scores]:
        """Ranks of each triplet; its texts are taken together as :class:`Scores` says."""
        references = [self._pictures[triplet.reference_id] for triplet, _ in self._questions]
        texts = [text for _, text in self._questions]
        better, ties = self._count(self._ranker.texts(texts, self._cache))
        shares, text_ranks = (better + ties) / np.maximum(1, self._others), ranks(better, ties)
        reference_ranks = ranks(*self._count(self._ranker.images(references, self._cache)))
        round_trip_ranks = ranks(*self._count(self._ranker.queries(references, texts, self._cache)))
        scores, end = {}, 0
        for triplet in self._triplets:
            rows = slice(end, end := end + len(triplet.modified_texts))
            scores[triplet.triplet_id] = Scores(
                others=int(self._others[rows][0]),
                text_rank=int(text_ranks[rows].min()),
                text_rank_share=float(shares[rows].max()),
                reference_rank=int(reference_ranks[rows][0]),
                round_trip_rank=int(round_trip_ranks[rows].max()),
            )
        return scores

    def _count(self, queries_QD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        targets_QD = self._images([triplet.target_id for triplet, _ in self._questions])
        started = time.perf_counter()
        counts = count_before(queries_QD, targets_QD, self._candidates, (self._target_rows, self._reference_rows))
        self._cache.seconds["compute"] += time.perf_counter() - started
        return counts

    def _images(self, names: list[str]) -> np.ndarray:
        return self._ranker.images([self._pictures[name] for name in names], self._cache)
