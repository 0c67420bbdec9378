"""Pairs whose captions share most words, so that the text need only say what changes.

A window of visual ranks joins pictures that look alike; whether a sentence can lead from one to the other is left to
chance. Here the captions decide: an inverted index over their rarer words gives each reference its candidates, so the
time grows with N and not with N².
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spn4cir_core.captions.words import words_of
from spn4cir_core.pairs.allowed import Allowed
from spn4cir_core.pairs.draws import draw_one
from spn4cir_core.pairs.picks import Picks, Vectors

LOOKED_UP_WORDS = 4
"""Words of a reference's caption that are looked up: the rarest."""
MOST_CAPTIONS_PER_WORD = 400
"""Captions that are looked at for one word: a sample of a common word's."""


@dataclass(frozen=True)
class OverlapLimits:
    """The overlap that a pair's captions need.

    Attributes:
        least_share: of the longer caption's words, weighted by their rarity, that both captions have.
        most_words_apart: words that only one of the two captions has, on either side.
        per_reference: targets of one reference image.
    """

    least_share: float
    most_words_apart: int
    per_reference: int


class CaptionIndex:
    """Captions by their words.

    Args:
        captions: one of each of N images; an empty one takes no part.
    """

    def __init__(self, captions: Sequence[str]) -> None:
        self.words_N = [frozenset(words_of(caption)) for caption in captions]
        self._rows: defaultdict[str, list[int]] = defaultdict(list)
        for row, words in enumerate(self.words_N):
            for word in words:
                self._rows[word].append(row)
        described = sum(map(bool, self.words_N))
        self.rarity = {word: math.log((1 + described) / (1 + len(rows))) + 0.1 for word, rows in self._rows.items()}
        self._total_N = [sum(map(self.rarity.__getitem__, words)) for words in self.words_N]
        self._anchor_N = [max(words, key=self._rank_of, default="") for words in self.words_N]

    def candidates(self, row: int, key: int) -> list[int]:
        """Rows whose captions have one of the row's rarest words, ascending; of a common word, a seeded sample."""
        rows: set[int] = set()
        for word in sorted(self.words_N[row], key=self._rank_of, reverse=True)[:LOOKED_UP_WORDS]:
            rows.update(sampled(self._rows[word], key))
        return sorted(rows - {row})

    def share(self, one: int, other: int) -> float:
        """Rarity of the words that both captions have, over that of the rarer caption's words: 0 … 1."""
        common = sum(map(self.rarity.__getitem__, self.words_N[one] & self.words_N[other]))
        return common / max(self._total_N[one], self._total_N[other])

    def same_thing(self, one: int, other: int) -> bool:
        """Whether the rarest word of one caption, most likely the thing itself, stands in the other one too."""
        return self._anchor_N[one] in self.words_N[other] or self._anchor_N[other] in self.words_N[one]

    def words_apart(self, one: int, other: int) -> int:
        """Words that one caption has and the other one has not, counted on the side that has more of them."""
        return max(len(self.words_N[one] - self.words_N[other]), len(self.words_N[other] - self.words_N[one]))

    def _rank_of(self, word: str) -> tuple[float, str]:
        return self.rarity[word], word


def mine_caption_overlap(
    index: CaptionIndex,
    vectors: Vectors,
    references: np.ndarray,
    keys: np.ndarray,
    limits: OverlapLimits,
    allowed: Allowed,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Picks:
    """The targets of each reference, fewest words apart first, then by share of words, then drawn by the keys.

    Args:
        index: captions of the N images.
        references: (R,) rows.
        keys: (N,) uint64 from :func:`.draws.id_keys`.

    Returns:
        Picks whose rank counts a reference's targets from 0 and whose score is the images' cosine.
    """
    rows: list[tuple[int, int, int]] = []
    for done, reference in enumerate(references.tolist()):
        rows += _targets(index, reference, int(keys[reference]), limits, allowed)
        if done % 1000 == 0:
            on_progress(done)
    reference_P, target_P, rank_P = np.array(rows, np.int64).reshape(-1, 3).T
    score_P = vectors.cosines(reference_P, target_P)
    codes = allowed.check(reference_P, target_P, score_P)
    allowed.count(codes)
    keep = codes == 0
    references_K, targets_K, ranks_K = (rows_P[keep].astype(np.int32) for rows_P in (reference_P, target_P, rank_P))
    return Picks(references_K, targets_K, ranks_K, score_P[keep])


Candidate = tuple[int, float, int]


def paired_share(index: CaptionIndex, limits: OverlapLimits, most: int) -> float:
    """Share of the images that have a target by these limits, of all or of ``most`` evenly spaced ones."""
    rows = range(0, len(index.words_N), max(1, -(-len(index.words_N) // most)))
    return sum(any(_candidates(index, row, row, limits)) for row in rows) / max(1, len(rows))


def _targets(
    index: CaptionIndex, reference: int, key: int, limits: OverlapLimits, allowed: Allowed
) -> list[tuple[int, int, int]]:
    ranked = sorted(
        (apart, -share, draw_one(key, row), row)
        for apart, share, row in _candidates(index, reference, key, limits)
        if allowed.category[row] == allowed.category[reference]
    )
    return [(reference, row, rank) for rank, (*_, row) in enumerate(ranked[: limits.per_reference])]


def _candidates(
    index: CaptionIndex, reference: int, key: int, limits: OverlapLimits
) -> Iterator[tuple[int, float, int]]:
    """Words apart, share of words, and row of each image whose caption is near enough to the reference's."""
    for row in index.candidates(reference, key):
        apart = index.words_apart(reference, row)
        if 0 < apart <= limits.most_words_apart and index.same_thing(reference, row):
            share = index.share(reference, row)
            if share >= limits.least_share:
                yield apart, share, row


def sampled(rows: Sequence[int], key: int) -> Sequence[int]:
    """The rows, or ``MOST_CAPTIONS_PER_WORD`` evenly spaced ones from a start that the key draws."""
    if len(rows) <= MOST_CAPTIONS_PER_WORD:
        return rows
    step, start = len(rows) / MOST_CAPTIONS_PER_WORD, draw_one(key, 0) % len(rows)
    return [rows[(start + int(number * step)) % len(rows)] for number in range(MOST_CAPTIONS_PER_WORD)]
