"""Whole words as tokens: the vocabulary of the ``small`` backbone. B texts, L tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from spn4cir_core.models.padding import padded

if TYPE_CHECKING:
    from torch import Tensor

TOKEN_LIMIT = 64
PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2
WORD = re.compile(r"\w+", re.UNICODE)


def words_of(text: str) -> list[str]:
    """The lower-case words of a text."""
    return WORD.findall(text.lower())


def vocabulary_of(texts: Iterable[str]) -> list[str]:
    """Every word of the texts, sorted."""
    return sorted({word for text in texts for word in words_of(text)})


class WordTokens:
    """Numbers of the words of a vocabulary."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._ids = {word: number for number, word in enumerate(vocabulary, start=FIRST_WORD)}

    def has(self, word: str) -> bool:
        """Whether each word of it is one of the vocabulary."""
        return all(part in self._ids for part in words_of(word))

    def ids(self, texts: Sequence[str]) -> Tensor:
        """(B, L) int64. Words that no training text has are dropped: their vectors would be untrained noise."""
        known = [[self._ids[word] for word in words_of(text) if word in self._ids] for text in texts]
        return padded([numbers[:TOKEN_LIMIT] or [UNKNOWN] for numbers in known], PADDING)
