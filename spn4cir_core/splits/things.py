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
    shared = [word for word, captions_with_it in count.items() if captions_with_it >= LEAST_IMAGES]
    shared.sort(key=lambda word: (count[word], [-ord(letter) for letter in word]))
    rank_of = {word: rank for rank, word in enumerate(shared)}
    rarest_N = [min((rank_of[word] for word in words if word in rank_of), default=None) for words in words_N]
    things = [word if count[word] <= most else "" for word in shared]
    return ["" if rank is None else things[rank] for rank in rarest_N]
