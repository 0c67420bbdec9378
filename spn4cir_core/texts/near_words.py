"""The words that may be a misspelt one, among as many as a catalogue has."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

KINDS = 32
"""Kinds of letters that are counted: of Latin ones each is one, others share them."""


class NearWords:
    """W words by the letters that they have, so that few need a closer look."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = np.array(list(dict.fromkeys(words)), object)
        self._letters_WK = _letters(self._words)
        self._length_W = np.array([len(word) for word in self._words], np.int64)

    def alike(self, word: str, least: float) -> list[str]:
        """Those whose ratio by :class:`difflib.SequenceMatcher` can reach ``least``, and few others.

        The ratio is 2 M / (letters of both) of M matching letters; at most as many match as both have, in any order.
        """
        if not len(self._words):
            return []
        common_W = np.minimum(self._letters_WK, _letters(np.array([word], object))).sum(1, dtype=np.int64)
        return list(self._words[2 * common_W >= least * (self._length_W + len(word))])


def _letters(words: np.ndarray) -> np.ndarray:
    """(W, K) uint8: how many letters of each kind a word has."""
    code_L = np.frombuffer("".join(words).encode("utf-32-le", "surrogatepass"), np.uint32) % KINDS
    word_L = np.repeat(np.arange(len(words)), [len(word) for word in words])
    count_WK = np.bincount(word_L * KINDS + code_L, minlength=len(words) * KINDS).reshape(len(words), KINDS)
    return np.minimum(count_WK, 255).astype(np.uint8)
