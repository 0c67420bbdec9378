"""Differences between two captions.

Captions are taken as bags of phrases (split at commas, "and", and ends of sentences), phrases as lists of words
without articles. Phrases that both captions have cancel; a phrase and its counterpart in the other caption are then
narrowed to what differs, with enough words kept to be read: "small red circle" and "small blue circle" become
"red circle" and "blue circle".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress, pairwise, takewhile

from spn4cir_core.captions.title_text import with_units, without_keys
from spn4cir_core.texts.attributes import ATTRIBUTES, COLOURS, KEYS, SHADES

Phrase = tuple[str, ...]

ARTICLES = frozenset({"a", "an", "the"})
PREPOSITIONS = frozenset(
    re.findall(
        r"\w+",
        """about above across against along among around at before behind below beneath beside between by during for
        from in inside into near of off on onto outside over through to towards under upon wearing with within
        without""",
    )
)
NAMELESS = ("something",)
"""Says nothing without the words beside it ("something black")."""
MOST_COMPARISONS = 10_000
"""Captions with more phrases than this allows are compared by whole phrases only."""
_BREAK = re.compile(r"(?<!\d),|,(?!\d)|[;:!?\n，、；。：]|\.(?=\s|$)|\band\b", re.IGNORECASE)
_NUMBER = r"\d+(?:[.,x]\d+)*(?:%|[\w'’-]*)"
_WORD = re.compile(rf"(?:{'|'.join(SHADES)})\s+(?:{'|'.join(COLOURS)})\b|(?<![\w'’-]){_NUMBER}|[\w'’-]*\w[\w'’-]*")
"""A shade of a colour ("light blue") is one word, and so is a number with its unit ("0.5l"): it changes as a whole."""
_PREAMBLE = re.compile(
    r"^\s*(?:(?:this|it|there|here)\s+(?:is|are)\s+)?"
    r"(?:(?:an?|the|this)\s+)?(?:(?:photo(?:graph)?|picture|image|close-?up)s?\s+(?:of|shows|showing)\s+)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Difference:
    """Phrases only the target's caption has, and phrases only the reference's has, in their captions' order."""

    added: tuple[Phrase, ...]
    removed: tuple[Phrase, ...]
    added_from: tuple[Phrase, ...]
    """The whole phrases of the target's caption that ``added`` was narrowed from, one each."""
    removed_from: tuple[Phrase, ...]

    @property
    def added_text(self) -> str:
        """The added phrases as one text, empty if there are none."""
        return " and ".join(" ".join(phrase) for phrase in self.added)

    @property
    def removed_text(self) -> str:
        """The removed phrases as one text, empty if there are none."""
        return " and ".join(" ".join(phrase) for phrase in self.removed)


Meaning = tuple[tuple[tuple[str, ...], ...], ...]


@lru_cache(maxsize=1 << 16)
def split_phrases(caption: str) -> tuple[Phrase, ...]:
    """Phrases of a caption in order: lower case, without articles, punctuation and "a photo of"."""
    return tuple(phrase for phrase, _ in phrases_with_articles(caption))


@lru_cache(maxsize=1 << 16)
def phrases_with_articles(caption: str) -> tuple[tuple[Phrase, str], ...]:
    """The phrases of a caption, each with the article that it begins with, or an empty string."""
    caption = with_units(without_keys(caption))
    preamble = _PREAMBLE.match(caption)
    start = preamble.end() if preamble else 0
    lead = [word for word in caption[:start].lower().split()[-1:] if word in ARTICLES]
    phrases = []
    for number, part in enumerate(_BREAK.split(caption[start:])):
        words = [" ".join(word.split()) for word in _WORD.findall(part.lower())]
        first = lead if lead and number == 0 else words[:1]
        phrase = tuple(word for word in words if word not in ARTICLES)
        if phrase:
            phrases.append((phrase, first[0] if first[0] in ARTICLES else ""))
    return tuple(phrases)


@lru_cache(maxsize=1 << 16)
def words_and_articles(caption: str) -> tuple[Phrase, tuple[str, ...]]:
    """The words of a caption without articles, and the article before each of them or an empty string."""
    words = [" ".join(word.split()) for word in _WORD.findall(with_units(without_keys(caption)).lower())]
    before = [word if word in ARTICLES else "" for word in ["", *words]]
    pairs = [(word, article) for word, article in zip(words, before, strict=False) if word not in ARTICLES]
    return tuple(word for word, _ in pairs), tuple(article for _, article in pairs)


def bag_of_words(caption: str) -> Counter[str]:
    """The words of a caption with their counts, by the rules of :func:`split_phrases`."""
    return Counter(word for phrase in split_phrases(caption) for word in phrase)


def caption_meaning(caption: str) -> Meaning:
    """A key that is equal for captions that say the same, whatever the order of phrases and of describing words.

    Captions with the same words in other phrases ("red circle, blue star", "blue circle, red star") differ.
    """
    return tuple(sorted(map(_meaning, split_phrases(caption))))


def difference(reference: str, target: str) -> Difference:
    """The phrases to remove from the reference's caption and to add to it to get the target's.

    For bags of words, ``reference - removed + added == target``. The order of phrases, and of the words that describe
    one thing, does not matter; "circle on square" and "square on circle" differ.
    """
    old, new = split_phrases(reference), split_phrases(target)
    removed, shared = without(old, new)
    added, _ = without(new, old)
    added_from, removed_from = tuple(added), tuple(removed)
    if len(added) * len(removed) <= MOST_COMPARISONS:
        for ours, theirs in _counterparts(added, removed):
            others = shared + [phrase for number, phrase in enumerate(removed) if number != theirs]
            added[ours], removed[theirs] = narrowed(added[ours], removed[theirs], others)
    return Difference(
        added=tuple(filter(None, added)),
        removed=tuple(filter(None, removed)),
        added_from=tuple(compress(added_from, added)),
        removed_from=tuple(compress(removed_from, removed)),
    )


def without(phrases: Sequence[Phrase], other: Sequence[Phrase]) -> tuple[list[Phrase], list[Phrase]]:
    """The phrases that the other caption has not (or fewer of), and those that it has, in order."""
    left = Counter(_meaning(phrase) for phrase in other)
    alone: list[Phrase] = []
    shared: list[Phrase] = []
    for phrase in phrases:
        meaning = _meaning(phrase)
        (shared if left[meaning] > 0 else alone).append(phrase)
        left[meaning] -= 1
    return alone, shared


def segments(phrase: Phrase) -> list[Phrase]:
    """Cut a phrase before each preposition: ("red", "circle"), ("on", "left")."""
    starts = [0, *(position for position, word in enumerate(phrase) if position and word in PREPOSITIONS), len(phrase)]
    return [phrase[first:end] for first, end in pairwise(starts)]


@lru_cache(maxsize=1 << 16)
def _meaning(phrase: Phrase) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(sorted(segment)) for segment in segments(phrase))


def _counterparts(added: list[Phrase], removed: list[Phrase]) -> list[tuple[int, int]]:
    """Match added with removed phrases about the same thing one to one: most shared words first, then in order.

    A single added and a single removed phrase are counterparts if they share a word at all ("red circle", "red star").
    Otherwise the words that two things happen to share say something about each of them, and stay.
    """
    single = len(added) == len(removed) == 1
    ranked = []
    for ours, new in enumerate(added):
        for theirs, old in enumerate(removed):
            if single or head(new) == head(old) or have_same_key(new, old):
                shared = sum((Counter(new) & Counter(old)).values())
                ranked.append((-shared, ours, theirs))
    taken_ours: set[int] = set()
    taken_theirs: set[int] = set()
    matches = []
    for _, ours, theirs in sorted(ranked):
        if ours not in taken_ours and theirs not in taken_theirs:
            taken_ours.add(ours)
            taken_theirs.add(theirs)
            matches.append((ours, theirs))
    return matches


@lru_cache(maxsize=1 << 16)
def head(phrase: Phrase) -> str:
    """The word a phrase is about: the last one before its first preposition ("circle" in "red circle on the left")."""
    return segments(phrase)[0][-1]


def have_same_key(one: Phrase, other: Phrase) -> bool:
    """Whether both are values of one property: "size M" and "size L"."""
    return min(len(one), len(other)) > 1 and one[0] == other[0] and one[0] in KEYS


def narrowed(new: Phrase, old: Phrase, others: list[Phrase]) -> tuple[Phrase, Phrase]:
    """Leave out what both phrases say, unless the rest would no longer tell which phrase of the reference is meant."""
    if have_same_key(new, old):
        return new, old
    keep_head = head(new) == head(old)
    short_new = _telling(new, Counter(new) - Counter(old), keep_head)
    short_old = _telling(old, Counter(old) - Counter(new), keep_head)
    same_change = _change(short_old, short_new) == _change(old, new) != {}
    ambiguous = any(set(short_old) <= set(other) for other in others)
    nameless = NAMELESS in (short_new, short_old)
    return (short_new, short_old) if same_change and not ambiguous and not nameless else (new, old)


def _telling(phrase: Phrase, differing: Counter[str], keep_head: bool) -> Phrase:
    """The differing words with the head they belong to; a segment that starts at a preposition stays whole.

    Words before the head that are no attributes name the thing with it, and stay: "swimming trunks".
    """
    left = Counter(differing)
    words: list[str] = []
    for number, segment in enumerate(segments(phrase)):
        marks = []
        for word in segment:
            marks.append(left[word] > 0)
            left[word] -= 1
        if number == 0 and keep_head:
            name = sum(1 for _ in takewhile(lambda word: word not in ATTRIBUTES, segment[-2::-1]))
            marks[len(segment) - 1 - name :] = [True] * (name + 1)
        whole = number > 0 and any(marks)
        words += [word for word, differs in zip(segment, marks, strict=True) if differs or whole]
    return tuple(words)


def _change(old: Phrase, new: Phrase) -> dict[str, int]:
    change = Counter(new)
    change.subtract(Counter(old))
    return {word: count for word, count in change.items() if count}
