"""Captions as weighted words: a sparse matrix that scores every caption by the words of a query (BM25).

In runs by word: a query touches the captions of its own words and no other. Four channels share one matrix, which a
BM25 library that holds its own index would not allow; importing scipy for it takes longer than a search.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from spn4cir_core.texts.count_words import CountedCaptions, WordCounts, count_words, spans
from spn4cir_core.texts.differences import ARTICLES, split_phrases
from spn4cir_core.texts.near_words import NearWords
from spn4cir_core.texts.word_kinds import stem

K1 = 1.2
"""Saturation of repeated words, the usual value (Robertson and Zaragoza 2009)."""
LOOK_UPS = 16
"""Reading the words of a caption costs about as much as summing so many entries."""
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
_SAYS_NOTHING = ARTICLES | set(
    [
        "it",
        "them",
        "its",
        "and",
        "or",
        "of",
        "is",
        "are",
        "be",
        "this",
        "that",
        "one",
        "ones",
        "same",
        "thing",
        "but",
        "make",
        "add",
        "change",
        "replace",
        "remove",
        "instead",
        "to",
        "into",
        "the",
        "with",
        "in",
        "on",
        "at",
    ]
)


@lru_cache(maxsize=1 << 16)
def caption_words(text: str) -> tuple[str, ...]:
    """The stems of a text's words, without articles and the like, and the pairs of neighbours within a phrase.

    Of a script that puts no space between words, the pairs of characters (as search engines do).
    """
    return tuple(term for phrase in split_phrases(text) for term in phrase_words(phrase))


def phrase_words(phrase: Sequence[str]) -> list[str]:
    """What :func:`caption_words` gives of one phrase."""
    words = [part for word in phrase if word not in _SAYS_NOTHING for part in _stems(word)]
    return [*words, *(f"{first} {second}" for first, second in pairwise(words))]


def _stems(word: str) -> list[str]:
    if run := _UNSPACED.search(word):
        characters = run.group()
        return [characters[index : index + 2] for index in range(max(1, len(characters) - 1))]
    return [stem(word)]


class Runs(NamedTuple):
    """E entries of a sparse matrix in runs, one for each of its rows or of its columns."""

    start: np.ndarray
    """(runs + 1,) int64: run i has the entries from ``start[i]`` to ``start[i + 1]``."""
    number_E: np.ndarray
    """(E,) int32: the column of an entry where runs are rows; its row, ascending, where they are columns."""
    weight_E: np.ndarray
    """(E,) float32."""

    @classmethod
    def of(cls, run_E: np.ndarray, runs: int, number_E: np.ndarray, weight_E: np.ndarray) -> Runs:
        """Of entries in any order; those of a run stay in theirs."""
        order_E = np.argsort(run_E, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(run_E, minlength=runs))])
        return cls(start, number_E[order_E].astype(np.int32), weight_E[order_E])

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        return self.start.nbytes + self.number_E.nbytes + self.weight_E.nbytes


@dataclass(frozen=True)
class CaptionWords:
    """The words of N captions, V different ones.

    Attributes:
        by_word: the captions of each word, with BM25's weight of the word in them, times its rarity. Without BM25's
            correction for length, which prefers short captions to equal ones.
        by_caption: the same, the words of each caption.
        norm_N: Euclidean norm of each caption's weights.
        column: the column of each word.
        rarity_V: BM25's inverse document frequency.
        has_words_N: whether a caption has words at all.
    """

    by_word: Runs
    by_caption: Runs
    norm_N: np.ndarray
    column: Mapping[str, int]
    rarity_V: np.ndarray
    has_words_N: np.ndarray

    @classmethod
    def of(cls, captions: Iterable[str | None], counted: CountedCaptions | None = None) -> CaptionWords:
        """Count and weigh the words of each caption; about 16 bytes a word of a caption while searched.

        Args:
            counted: captions whose words are counted already (:meth:`counts`); the result is the same without.
        """
        words, length_N, column_E, count_E = count_words(captions, split_phrases, phrase_words, counted)
        column, row_count = {word: number for number, word in enumerate(words)}, len(length_N)
        row_E = np.repeat(np.arange(row_count), length_N)
        has_words_N = np.bincount(row_E, minlength=row_count) > 0
        seen_V = np.bincount(column_E, minlength=len(column))
        rarity_V = np.log1p((has_words_N.sum() - seen_V + 0.5) / (seen_V + 0.5)).astype(np.float32)
        weight_E = _weight(count_E, rarity_V[column_E])
        norm_N = np.sqrt(np.bincount(row_E, weight_E**2, row_count)).astype(np.float32)
        by_word = Runs.of(column_E, len(column), row_E, weight_E)
        by_caption = Runs.of(row_E, row_count, column_E, weight_E)
        return cls(by_word, by_caption, norm_N, column, rarity_V, has_words_N)

    def counts(self) -> WordCounts | None:
        """How often each caption has its words; None where the weights do not say it exactly."""
        start, number_E, weight_E = self.by_caption
        share_E = weight_E.astype(np.float64) / self.rarity_V[number_E]
        count_E = np.rint(K1 * share_E / (K1 + 1 - share_E)).astype(np.int64)
        if not np.array_equal(_weight(count_E, self.rarity_V[number_E]), weight_E):
            return None
        return WordCounts(list(self.column), np.diff(start), number_E.astype(np.int64), count_E)

    def coverage(self, words: Sequence[str], rows_K: np.ndarray | None = None) -> np.ndarray:
        """Share of the query's words, by rarity, that each caption has: (N,) float32 or (K,), about 0 … 1.

        NaN where a caption has no words, and everywhere if no word of the query is known.
        """
        bag = self._known(words)
        best = sum(self.rarity_V[number] * _saturated(count) for number, count in bag.items())
        return self._finished(self._sums(dict.fromkeys(bag, 1.0), rows_K), best, rows_K)

    def cosine(self, words: Sequence[str], rows_K: np.ndarray | None = None) -> np.ndarray:
        """Cosine of the query's weighted words with each caption's, (N,) float32 or (K,): 1 for the same words only.

        Unknown words do not count. NaN as in :meth:`coverage`.
        """
        bag = self._known(words)
        weight = {number: float(_saturated(count) * self.rarity_V[number]) for number, count in bag.items()}
        norm = sum(value**2 for value in weight.values()) ** 0.5
        norm_K = self.norm_N if rows_K is None else self.norm_N[rows_K]
        return self._finished(self._sums(weight, rows_K), norm * np.maximum(norm_K, 1e-9), rows_K)

    def rows_with(self, words: Sequence[str], enough: int) -> np.ndarray:
        """Rows of captions that have one of the words, ascending: of the rarest words, of as many as give ``enough``.

        A common word alone says little, and a third of all captions may have it.
        """
        rows: list[np.ndarray] = []
        for number in sorted(self._known(words), key=lambda number: -self.rarity_V[number]):
            missing = enough - sum(map(len, rows))
            if missing > 0:
                row_P, _ = self._postings(number)
                rows.append(row_P[:missing] if rows else row_P)
        return distinct_rows(rows)

    @cached_property
    def near(self) -> NearWords:
        """The words themselves, without the pairs."""
        return NearWords(word for word in self.column if " " not in word)

    def _known(self, words: Sequence[str]) -> dict[int, int]:
        return {self.column[word]: count for word, count in Counter(words).items() if word in self.column}

    def _postings(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows that have a word, ascending, and its weight in each."""
        start, end = self.by_word.start[number : number + 2]
        return self.by_word.number_E[start:end], self.by_word.weight_E[start:end]

    def _sums(self, weight: Mapping[int, float], rows_K: np.ndarray | None) -> np.ndarray:
        """Sums of the rows; of few rows only their entries are looked up, of many all are summed."""
        entries = sum(len(self._postings(number)[0]) for number in weight)
        if rows_K is not None and len(rows_K) * LOOK_UPS < entries:
            return self._looked_up(weight, rows_K)
        sum_N = np.zeros(len(self.has_words_N), np.float32)
        for number, value in weight.items():
            row_P, weight_P = self._postings(number)
            sum_N[row_P] += value * weight_P
        return sum_N if rows_K is None else sum_N[rows_K]

    def _looked_up(self, weight: Mapping[int, float], rows_K: np.ndarray) -> np.ndarray:
        """As :meth:`_sums`, from the rows' own words."""
        order_W = np.argsort(list(weight))
        column_W = np.array(list(weight), np.int64)[order_W]
        start, column_A, weight_A = self.by_caption
        first_K, length_K = start[rows_K], start[rows_K + 1] - start[rows_K]
        entry_E = spans(first_K, length_K)
        column_E = column_A[entry_E]
        at_E = np.minimum(np.searchsorted(column_W, column_E), len(column_W) - 1)
        has_E = column_W[at_E] == column_E
        weight_WK = np.zeros((len(weight), len(rows_K)), np.float32)
        row_E = np.repeat(np.arange(len(rows_K)), length_K)
        weight_WK[order_W[at_E[has_E]], row_E[has_E]] = weight_A[entry_E[has_E]]
        sum_K = np.zeros(len(rows_K), np.float32)
        for value, weight_K in zip(weight.values(), weight_WK, strict=True):  # in one order, however they are added
            sum_K += value * weight_K
        return sum_K

    def _finished(self, sum_K: np.ndarray, best: Any, rows_K: np.ndarray | None) -> np.ndarray:
        if not np.any(best):
            return np.full_like(sum_K, np.nan)
        score_K: np.ndarray = (sum_K / best).astype(np.float32)
        score_K[~(self.has_words_N if rows_K is None else self.has_words_N[rows_K])] = np.nan
        return score_K

    @property
    def nbytes(self) -> int:
        """Memory of the matrix in bytes, by word and by caption."""
        return self.by_word.nbytes + self.by_caption.nbytes


def distinct_rows(rows: Sequence[np.ndarray]) -> np.ndarray:
    """The distinct values of integer arrays, ascending; sorted, which numpy does faster than its own ``unique``."""
    if not rows:
        return np.zeros(0, np.int64)
    row_K = np.sort(np.concatenate(rows))
    is_first_K = np.ones(len(row_K), bool)
    is_first_K[1:] = row_K[1:] != row_K[:-1]
    distinct_K: np.ndarray = row_K[is_first_K]
    return distinct_K


def _weight(count_E: np.ndarray, rarity_E: np.ndarray) -> np.ndarray:
    weight_E: np.ndarray = (_saturated(count_E) * rarity_E).astype(np.float32)
    return weight_E


def _saturated(count: Any) -> Any:
    return count * (K1 + 1) / (count + K1)
