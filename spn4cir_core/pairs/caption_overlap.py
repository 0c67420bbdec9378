"""Pairs whose captions share most words, so that the text need only say what changes.

A window of visual ranks joins pictures that look alike; whether a sentence can lead from one to the other is left to
chance. Here the captions decide: an inverted index over their rarer words gives each reference its candidates, so the
time grows with N and not with N². A block of references is compared at once, and rarities are whole numbers, so that
no sum depends on the order of the words. What is drawn depends on two images alone: where others come or go, most pairs
stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from spn4cir_core.captions.words import words_of
from spn4cir_core.pairs.allowed import Allowed
from spn4cir_core.pairs.draws import draw
from spn4cir_core.pairs.picks import Picks, Vectors

LOOKED_UP_WORDS = 4
"""Words of a reference's caption that are looked up: the rarest."""
MOST_CAPTIONS_PER_WORD = 400
"""Captions that are looked at for one word: a sample of a common word's."""
REFERENCES_AT_ONCE = 256
RARITY_STEP = 2.0**-20
Numbers = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]


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


@dataclass(frozen=True)
class Candidates:
    """Pairs of rows, by reference and target, with what their captions share.

    Attributes:
        apart: words that one caption has and the other one has not, counted on the side that has more of them.
        share: rarity of the words that both captions have, over that of the rarer caption's words: 0 … 1.
    """

    reference: Numbers
    target: Numbers
    apart: Numbers
    share: npt.NDArray[np.float64]

    def take(self, rows: Numbers | Mask) -> Candidates:
        """Some of them, in that order."""
        return Candidates(self.reference[rows], self.target[rows], self.apart[rows], self.share[rows])


@dataclass(frozen=True)
class Lists:
    """Lists of numbers, one behind the other."""

    values: Numbers
    lengths: Numbers

    @cached_property
    def first(self) -> Numbers:
        """Where each list begins."""
        return np.cumsum(self.lengths) - self.lengths

    def list_of_each(self) -> Numbers:
        """The number of the list that each value is in."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def take(self, rows: Numbers, most: int | None = None) -> Lists:
        """Some of the lists, of each the first ``most`` values."""
        lengths = self.lengths[rows] if most is None else np.minimum(self.lengths[rows], most)
        skipped = np.cumsum(lengths) - lengths
        return Lists(self.values[np.repeat(self.first[rows] - skipped, lengths) + np.arange(lengths.sum())], lengths)

    def sums(self, values: Numbers | Mask) -> Numbers:
        """For each list the sum of values that stand beside its own."""
        totals = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
        return np.asarray(totals[self.first + self.lengths] - totals[self.first])


class CaptionIndex:
    """Captions by their words, which are numbered from the most common one to the rarest.

    Args:
        captions: one of each of N images; an empty one takes no part.
        keys_N: a random number of each image, as :func:`.draws.id_keys` gives them.
    """

    def __init__(self, captions: Sequence[str], keys_N: Keys) -> None:
        self.words_of, captions_W = _numbered([tuple(dict.fromkeys(words_of(caption))) for caption in captions])
        words, self.keys_N = self.words_of, keys_N
        self.rank_N = np.argsort(np.argsort(keys_N, kind="stable"))
        """Rank of each image by its key."""
        row_F = words.list_of_each()
        by_word_and_rank = np.lexsort((self.rank_N[row_F], words.values))
        self.captions_of = Lists(row_F[by_word_and_rank], captions_W)
        self._words_with_ranks = (words.values * len(captions) + self.rank_N[row_F])[by_word_and_rank]
        """One ascending number for each word of each caption."""
        described = np.count_nonzero(words.lengths)
        self.rarity_W = np.rint((np.log((1 + described) / (1 + captions_W)) + 0.1) / RARITY_STEP).astype(np.int64)
        self.total_N = words.sums(self.rarity_W[words.values])
        self.anchor_N = np.full(len(captions), len(captions_W))
        self.anchor_N[words.lengths > 0] = words.values[words.first[words.lengths > 0]]
        """The rarest word of each caption, most likely the thing itself; of an empty one a number that is no word's."""

    def __len__(self) -> int:
        return len(self.anchor_N)

    def candidates(self, references_B: Numbers, limits: OverlapLimits) -> Candidates:
        """Pairs within the limits, of each reference with rows whose captions have one of its rarest words.

        The rarest word of one of the two captions stands in the other one too. Of a common word's captions a sample is
        compared: the reference's own and those that follow it in the order of keys.

        Args:
            references_B: ascending rows.
        """
        own = self.words_of.take(references_B)
        own_words = _WordsOfBlock(own, len(self.rarity_W))
        block_P, target_P = self._of_same_thing(references_B, own_words)
        targets, reference_P = self.words_of.take(target_P), references_B[block_P]
        common = own_words.have(np.repeat(block_P, targets.lengths), targets.values)
        apart_P = np.maximum(own.lengths[block_P], targets.lengths) - targets.sums(common)
        shared_P = targets.sums(np.where(common, self.rarity_W[targets.values], 0))
        share_P = shared_P / np.maximum(self.total_N[reference_P], self.total_N[target_P])
        near = (apart_P > 0) & (apart_P <= limits.most_words_apart) & (share_P >= limits.least_share)
        return Candidates(reference_P, target_P, apart_P, share_P).take(near)

    def _of_same_thing(self, references_B: Numbers, own_words: _WordsOfBlock) -> tuple[Numbers, Numbers]:
        """Position in the block and target of each pair to compare, in their order."""
        rarest = self.words_of.take(references_B, LOOKED_UP_WORDS)
        block_S, word_S = rarest.list_of_each(), rarest.values
        looked_up = self._looked_up(word_S, references_B[block_S])
        block_P, target_P = np.repeat(block_S, looked_up.lengths), looked_up.values
        anchor_B = self.anchor_N[references_B]
        same_thing = np.repeat(word_S == anchor_B[block_S], looked_up.lengths)
        others = np.flatnonzero(~same_thing)
        others_have_it = own_words.have(block_P[others], self.anchor_N[target_P[others]])
        same_thing[others] = others_have_it
        others = others[~others_have_it]
        is_sampled_S = self.captions_of.lengths[anchor_B[block_S]] > MOST_CAPTIONS_PER_WORD
        sampled = others[np.repeat(is_sampled_S, looked_up.lengths)[others]]
        same_thing[sampled] = self._stand_in(anchor_B[block_P[sampled]], target_P[sampled])
        block_P, target_P = block_P[same_thing], target_P[same_thing]
        pairs = np.sort((block_P * len(self) + target_P)[references_B[block_P] != target_P])
        return np.divmod(pairs[np.diff(pairs, prepend=-1) > 0], max(1, len(self)))

    def _looked_up(self, words_S: Numbers, rows_S: Numbers) -> Lists:
        """The captions to look at for each word of a row: its own and those that follow, then the first ones."""
        first_S, captions_S = self.captions_of.first[words_S], self.captions_of.lengths[words_S]
        own_S, lengths_S = self._position(words_S, rows_S), np.minimum(captions_S, MOST_CAPTIONS_PER_WORD)
        position_P = np.arange(lengths_S.sum()) + np.repeat(own_S - (np.cumsum(lengths_S) - lengths_S), lengths_S)
        is_beyond_P = position_P >= np.repeat(first_S + captions_S, lengths_S)
        position_P -= np.where(is_beyond_P, np.repeat(captions_S, lengths_S), 0)
        return Lists(self.captions_of.values[position_P], lengths_S)

    def _stand_in(self, words_P: Numbers, rows_P: Numbers) -> Mask:
        """Whether each word stands in the caption of the row beside it."""
        position_P = np.minimum(self._position(words_P, rows_P), len(self.captions_of.values) - 1)
        return np.asarray(self._words_with_ranks[position_P] == words_P * len(self) + self.rank_N[rows_P])

    def _position(self, words_P: Numbers, rows_P: Numbers) -> Numbers:
        """Where among all words' captions each row stands, or would stand, for the word beside it."""
        return np.searchsorted(self._words_with_ranks, words_P * len(self) + self.rank_N[rows_P])


class _WordsOfBlock:
    """Which captions of a block have which of its words."""

    def __init__(self, words: Lists, vocabulary: int) -> None:
        block_words, number_F = np.unique(words.values, return_inverse=True)
        self._number_W = np.zeros(vocabulary + 1, np.int32)
        self._number_W[block_words] = 1 + np.arange(len(block_words))
        self._has = np.zeros((len(words.lengths), len(block_words) + 1), bool)
        self._has[words.list_of_each(), 1 + number_F] = True

    def have(self, block_P: Numbers, words_P: Numbers) -> Mask:
        """Whether each caption, by its position in the block, has the word beside it."""
        return np.asarray(self._has[block_P, self._number_W[words_P]])


def _numbered(words_N: Sequence[Sequence[str]]) -> tuple[Lists, Numbers]:
    """The words of each caption as numbers, its rarest first; and the captions that have each word.

    The most common word is number 0; of words in as many captions the alphabet decides.
    """
    vocabulary = sorted(set().union(*words_N))
    number_of = {word: number for number, word in enumerate(vocabulary)}
    lengths = np.array([len(words) for words in words_N], np.int64)
    word_F = np.array([number_of[word] for words in words_N for word in words], np.int64)
    captions_W = np.bincount(word_F, minlength=len(vocabulary))
    common_first = np.argsort(-captions_W, kind="stable")
    word_F = np.argsort(common_first)[word_F]
    rarest_first = np.lexsort((-word_F, np.repeat(np.arange(len(lengths)), lengths)))
    return Lists(word_F[rarest_first], lengths), captions_W[common_first]


def mine_caption_overlap(
    index: CaptionIndex,
    vectors: Vectors,
    references: np.ndarray,
    limits: OverlapLimits,
    allowed: Allowed,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Picks:
    """The targets of each reference, fewest words apart first, then by share of words, then drawn by both images.

    Args:
        index: captions of the N images.
        references: (R,) rows, ascending.

    Returns:
        Picks whose rank counts a reference's targets from 0 and whose score is the images' cosine.
    """
    parts: list[Picks] = []
    for start in range(0, len(references), REFERENCES_AT_ONCE):
        block = references[start : start + REFERENCES_AT_ONCE]
        candidates = index.candidates(block, limits)
        candidates = candidates.take(allowed.category[candidates.reference] == allowed.category[candidates.target])
        parts.append(_best(candidates, index.keys_N, limits.per_reference, vectors))
        on_progress(start + len(block))
    picks = Picks.joined(parts)
    codes = allowed.check(picks.reference, picks.target, picks.score)
    allowed.count(codes)
    return picks.take(codes == 0)


def _best(candidates: Candidates, keys_N: Keys, per_reference: int, vectors: Vectors) -> Picks:
    near = candidates.take(_among_the_nearest(candidates, per_reference))
    drawn = draw(keys_N[near.reference] ^ keys_N[near.target], 0)
    order = np.lexsort((near.target, drawn, -near.share, near.apart, near.reference))
    reference, target = near.reference[order], near.target[order]
    rank = np.arange(len(order)) - np.searchsorted(reference, reference)
    best = rank < per_reference
    reference_K, target_K, rank_K = (column[best].astype(np.int32) for column in (reference, target, rank))
    return Picks(reference_K, target_K, rank_K, vectors.cosines(reference_K, target_K))


def _among_the_nearest(candidates: Candidates, count: int) -> Mask:
    """Whether fewer than ``count`` candidates of the same reference are fewer words apart: the others need no order."""
    if not len(candidates.reference):
        return np.zeros(0, bool)
    levels = candidates.apart.max() + 1
    first = candidates.reference[0]
    level = (candidates.reference - first) * levels + candidates.apart
    of_level = np.bincount(level, minlength=(candidates.reference[-1] - first + 1) * levels).reshape(-1, levels)
    nearer = np.cumsum(of_level, axis=1) - of_level
    return np.asarray(nearer.ravel()[level] < count)


def paired_share(index: CaptionIndex, limits: OverlapLimits, most: int) -> float:
    """Share of the images that have a target by these limits, of all or of ``most`` evenly spaced ones."""
    rows = np.arange(0, len(index), max(1, -(-len(index) // most)))
    blocks = [rows[start : start + REFERENCES_AT_ONCE] for start in range(0, len(rows), REFERENCES_AT_ONCE)]
    paired = sum(len(np.unique(index.candidates(block, limits).reference)) for block in blocks)
    return paired / max(1, len(rows))
