"""Hard negative texts: a modified text with one word swapped for another of its kind."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from zlib import crc32

import numpy as np

from spn4cir_core.texts.edit_clauses import operations
from spn4cir_core.texts.word_kinds import WordKinds, stem

MOST_WORDS = 400
"""Words that may be put in: those of most texts."""
VARIANTS = 4
"""Most swapped texts of one text."""
_ALIKE = """
big huge large
little small tiny
filled solid
checked checkered plaid
dotted spotted
many several
bright light pale
gray grey silver
lavender lilac mauve plum purple violet
burgundy crimson maroon red
aqua cyan teal turquoise
beige cream ivory khaki tan taupe white
amber gold golden mustard yellow
fuchsia magenta pink
copper coral orange peach rust salmon
bronze brown copper
black charcoal
blue indigo navy
green lime mint olive
"""
_ALIKES = [{stem(word) for word in line.split()} for line in _ALIKE.strip().split("\n")]
"""Words of one kind that may be said of the same picture: swapping them makes no wrong text."""


def swapped_texts(texts: Sequence[str], seed: int) -> dict[str, tuple[str, ...]]:
    """Up to four swapped texts of each text, drawn by ``seed``; a text without any is left out.

    A word is swapped where the text asks for it ("make it *red*", not "instead of *blue*"), for a word that other texts
    ask for, and that is of its kind (:class:`~spn4cir_core.texts.word_kinds.WordKinds`): "make it green". Words that
    may be said of one picture, such as big and large, are not swapped for each other.
    """
    requested = {text: requested_words(text) for text in dict.fromkeys(texts)}
    others = _others([word for words in requested.values() for word in words], WordKinds.learn(requested))
    swapped = {text: _drawn(text, words, others, seed) for text, words in requested.items()}
    return {text: variants for text, variants in swapped.items() if variants}


def requested_words(text: str) -> list[str]:
    """Words of what the text asks for, each once; none that it also names as what should go."""
    changes = operations(text, "")
    gone = {word for change in changes for phrase in change.old for word in phrase.split()}
    words = [word for change in changes for phrase in change.new for word in phrase.split()]
    return [word for word in dict.fromkeys(words) if word not in gone]


def _others(words: Sequence[str], kinds: WordKinds) -> dict[str, list[str]]:
    """Each common word → the common words that may take its position."""
    common = [word for word, _ in Counter(words).most_common(MOST_WORDS)]
    return {word: [other for other in common if _may_swap(word, other, kinds)] for word in common}


def _may_swap(word: str, other: str, kinds: WordKinds) -> bool:
    ours, theirs = stem(word), stem(other)
    says_the_same = ours == theirs or any({ours, theirs} <= alike for alike in _ALIKES)
    return not says_the_same and kinds.alike(word, other)


def _drawn(text: str, words: Sequence[str], others: Mapping[str, Sequence[str]], seed: int) -> tuple[str, ...]:
    pairs = [(word, other) for word in words for other in others.get(word, ()) if other not in words]
    random = np.random.default_rng([seed, crc32(text.encode())])
    drawn = [pairs[index] for index in random.permutation(len(pairs))]
    variants = dict.fromkeys(re.sub(rf"\b{re.escape(word)}\b", other, text, flags=re.I) for word, other in drawn)
    return tuple(variant for variant in variants if variant != text)[:VARIANTS]
