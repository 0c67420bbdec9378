"""What a caption is about, by its rarest word: images of one thing are held out together or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from spn4cir_core.captions.words import words_of

LEAST_IMAGES = 2
MOST_SHARE = 0.02
"""A word of more captions than this share is a colour or a kind of thing, and would chain the corpus together."""


def thing_words(captions: Sequence[str]) -> list[str]:
    """The rarest word of each caption that another caption has too; empty where that is a common word, or none is.

    Of equally rare words it is the last one by the alphabet.
    """
    words_N = [frozenset(words_of(caption)) for caption in captions]
    count = Counter(word for words in words_N for word in words)
    most = MOST_SHARE * sum(map(bool, words_N))
    return [_rarest(words, count, most) for words in words_N]


def _rarest(words: frozenset[str], count: Counter[str], most: float) -> str:
    shared = [word for word in words if count[word] >= LEAST_IMAGES]
    rarest = min(shared, key=lambda word: (count[word], [-ord(letter) for letter in word]), default="")
    return rarest if count[rarest] <= most else ""
