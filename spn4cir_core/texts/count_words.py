"""Counts the words of captions: those of equal captions, and those that an earlier index has counted, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

Phrase = tuple[str, ...]


class WordCounts(NamedTuple):
    """E words of N captions, caption by caption, each where the caption first has it."""

    words: Sequence[str]
    """The V different words in the order of their first occurrence."""
    length_N: np.ndarray
    """Different words of each caption."""
    number_E: np.ndarray
    count_E: np.ndarray

    def of_captions(self, row_K: np.ndarray) -> WordCounts:
        """The same words, of some captions in any order, perhaps repeatedly."""
        length_K = self.length_N[row_K]
        entry_E = spans((np.cumsum(self.length_N) - self.length_N)[row_K], length_K)
        return WordCounts(self.words, length_K, self.number_E[entry_E], self.count_E[entry_E])


@dataclass(frozen=True)
class CountedCaptions:
    """Different captions whose words are counted already, each with its row among the counts."""

    row_of: Mapping[str, int]
    counts: WordCounts


def count_words(
    captions: Iterable[str | None],
    phrases_of: Callable[[str], Iterable[Phrase]],
    terms_of: Callable[[Phrase], Sequence[str]],
    counted: CountedCaptions | None = None,
) -> WordCounts:
    """The words of each caption; None is a caption without words.

    Args:
        phrases_of: a caption's phrases.
        terms_of: a phrase's words.
        counted: captions that need not be read; the result is the same without.
    """
    counted = counted or CountedCaptions({}, WordCounts((), *(np.zeros(0, np.int64) for _ in range(3))))
    number_of: dict[str, int] = {}
    caption_N = np.fromiter((number_of.setdefault(one or "", len(number_of)) for one in captions), np.int64)
    known_D = np.fromiter((counted.row_of.get(caption, -1) for caption in number_of), np.int64, len(number_of))
    known = counted.counts.of_captions(known_D[known_D >= 0])
    read = _read(
        [caption for caption, row in zip(number_of, known_D.tolist(), strict=True) if row < 0],
        phrases_of,
        terms_of,
        counted.counts.words,
    )
    both = WordCounts(read.words, *(np.concatenate(parts) for parts in zip(known[1:], read[1:], strict=True)))
    order_D = np.empty(len(known_D), np.int64)
    order_D[np.argsort(known_D < 0, kind="stable")] = np.arange(len(known_D))
    return _renumbered(both.of_captions(order_D[caption_N]))


def _read(
    captions: Sequence[str],
    phrases_of: Callable[[str], Iterable[Phrase]],
    terms_of: Callable[[Phrase], Sequence[str]],
    words: Sequence[str],
) -> WordCounts:
    """The words of captions, with numbers behind those of ``words``."""
    column = {word: number for number, word in enumerate(words)}
    lengths, numbers, counts = list[int](), list[int](), list[int]()

    @lru_cache(1 << 16)
    def numbers_of(phrase: Phrase) -> list[int]:
        return [column.setdefault(term, len(column)) for term in terms_of(phrase)]

    for caption in captions:
        own = [number for phrase in phrases_of(caption) for number in numbers_of(phrase)]
        bag = dict.fromkeys(own, 1)
        if len(bag) < len(own):
            bag = Counter(own)
        lengths.append(len(bag))
        numbers += bag
        counts += bag.values()
    return WordCounts(list(column), *(np.array(values, np.int64) for values in (lengths, numbers, counts)))


def _renumbered(counts: WordCounts) -> WordCounts:
    """The same with words in the order of their first occurrence, without those that no caption has."""
    words, length_N, number_E, count_E = counts
    first_V = np.full(len(words), len(number_E))
    first_V[number_E[::-1]] = np.arange(len(number_E))[::-1]  # of several the last one stays
    order_V = np.argsort(first_V, kind="stable")[: np.count_nonzero(first_V < len(number_E))]
    new_V = np.zeros(len(words), np.int64)
    new_V[order_V] = np.arange(len(order_V))
    return WordCounts([words[number] for number in order_V.tolist()], length_N, new_V[number_E], count_E)


def spans(first_K: np.ndarray, length_K: np.ndarray) -> np.ndarray:
    """The numbers of K spans, one behind the other: ``first``, ``first + 1`` … of each."""
    end_K = np.cumsum(length_K)
    count = int(end_K[-1]) if len(end_K) else 0
    numbers: np.ndarray = np.arange(count) + np.repeat(first_K - end_K + length_K, length_K)
    return numbers
