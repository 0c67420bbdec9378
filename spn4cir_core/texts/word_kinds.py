"""Kinds of words: two words of one kind say the same sort of thing, so that one takes the other's position.

Colours, sizes and a few more kinds are known; others are learnt from captions: words that stand in the same position of
phrases that are otherwise equal ("a maroon sweatshirt", "a maroon jersey"), and hardly ever together in one phrase.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

import numpy as np

from spn4cir_core.texts.attributes import COLOURS, SHADES
from spn4cir_core.texts.differences import segments, split_phrases

MOST_CAPTIONS = 50_000
"""Distinct captions that kinds are learnt from, the first ones in order."""
SHARED_POSITIONS = 2
SHARED_PART = 0.1
"""The share of the rarer word's positions in which both words must occur."""
TOGETHER_FACTOR = 4
"""How many times as often words must exchange as stand together in one phrase."""
_KNOWN = """
tiny small little medium large big huge
filled solid outline outlined
open closed
long short
dark light bright pale
old new young
indoor outdoor indoors outdoors
plain striped checked checkered plaid dotted spotted floral patterned
two three four five six seven eight nine ten several many
left right up down
"""
COMPARATIVES = {
    "bigger": "big",
    "brighter": "bright",
    "darker": "dark",
    "larger": "large",
    "lighter": "light",
    "longer": "long",
    "looser": "loose",
    "shorter": "short",
    "smaller": "small",
    "thicker": "thick",
    "thinner": "thin",
    "tighter": "tight",
    "wider": "wide",
}


_NO_PLURAL = ("ss", "us", "his", "lis", "nnis", "ris", "sis", "tis", "vis", "xis")
"""Ends of words in s that are no plurals: dress, bus, trellis, tennis, iris, basis, axis; but kiwis, bikinis."""


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """What equal words of other endings share: "outlined" and "outline", "stripes" and "striped", "cats" and "cat"."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes")):
        word = word[:-2]
    elif len(word) > 3 and word.endswith("s") and not word.endswith(_NO_PLURAL):
        word = word[:-1]
    if len(word) > 5 and word.endswith("ed"):
        word = word[:-2]
        return word[:-1] if word[-1] == word[-2] else word
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


KNOWN_KINDS = [
    {*COLOURS, *(f"{shade} {colour}" for shade in SHADES for colour in COLOURS)},
    *(set(re.findall(r"\w+", line)) for line in _KNOWN.split("\n") if line),
]
_KIND_OF = {stem(word): number for number, words in enumerate(KNOWN_KINDS) for word in sorted(words)}


def is_attribute(word: str) -> bool:
    """Whether a word is of a known kind: a colour, a size, a number, a pattern …"""
    return stem(word) in _KIND_OF


@dataclass(frozen=True)
class WordKinds:
    """Known kinds and learnt ones; without captions only the known ones.

    ``positions`` and ``phrases`` hold, for each stem, sorted numbers of the positions and phrases that it is seen in;
    ``heads`` the stems that a noun phrase ends with.
    """

    positions: Mapping[str, np.ndarray] = field(default_factory=dict)
    phrases: Mapping[str, np.ndarray] = field(default_factory=dict)
    heads: frozenset[str] = frozenset()

    @classmethod
    def learn(cls, captions: Iterable[str | None]) -> WordKinds:
        """Learn from at most 50,000 distinct captions; about 20 µs a word."""
        distinct = islice(dict.fromkeys(filter(None, captions)), MOST_CAPTIONS)
        cuts = {segment for caption in distinct for phrase in split_phrases(caption) for segment in segments(phrase)}
        position_number: dict[tuple[tuple[str, ...], ...], int] = {}
        positions: defaultdict[str, set[int]] = defaultdict(set)
        phrases: defaultdict[str, set[int]] = defaultdict(set)
        for number, segment in enumerate(sorted(cuts)):
            for index, word in enumerate(segment):
                phrases[stem(word)].add(number)
                if len(segment) > 1:
                    key = (segment[:index], segment[index + 1 :])
                    positions[stem(word)].add(position_number.setdefault(key, len(position_number)))
        return cls(_as_arrays(positions), _as_arrays(phrases), frozenset(stem(segment[-1]) for segment in cuts))

    def knows_any(self, words: Sequence[str]) -> bool:
        """Whether one of the words is in a caption, or no caption is known."""
        return not self.phrases or any(stem(word) in self.phrases for word in words)

    def names_thing(self, name: Sequence[str]) -> bool:
        """Whether a name is that of a thing: its last word that captions have ends noun phrases, or they have none.

        Of "vanilla flavour" they have "vanilla yoghurt" only: that says something of a thing.
        """
        known = [stem(word) for word in name if stem(word) in self.phrases]
        return not known or known[-1] in self.heads

    def alike(self, one: str, other: str) -> bool:
        """Whether two words are of one kind. A word is of its own kind."""
        first, second = stem(one), stem(other)
        if first == second:
            return True
        if first in _KIND_OF or second in _KIND_OF:
            return _KIND_OF.get(first, -1) == _KIND_OF.get(second, -2)
        return self._exchange(first, second)

    def _exchange(self, first: str, second: str) -> bool:
        if first not in self.positions or second not in self.positions:
            return False
        ours, theirs = self.positions[first], self.positions[second]
        shared = len(np.intersect1d(ours, theirs, assume_unique=True))
        together = len(np.intersect1d(self.phrases[first], self.phrases[second], assume_unique=True))
        enough = max(SHARED_POSITIONS, SHARED_PART * min(len(ours), len(theirs)), TOGETHER_FACTOR * together)
        return shared >= enough


def _as_arrays(numbers: Mapping[str, set[int]]) -> dict[str, np.ndarray]:
    return {word: np.array(sorted(rows), np.int32) for word, rows in numbers.items()}
