"""Composed queries without annotation: captions that differ in one phrase, and texts that name the change alone.

A text of a pair that shares little names its target in full, so that recall on it says nothing about the reference:
weights fitted on such queries choose the text alone. And where many pictures share the target's caption, the one that
looks most like the reference is the target, as users want what they do not speak of to stay: without that, pictures
would seem not to count.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from spn4cir_core.texts.caption_words import caption_words
from spn4cir_core.texts.differences import Meaning, caption_meaning, difference
from spn4cir_core.texts.wording import worded

SHARED_WORDS = 0.5
"""Least share of the longer caption's distinct words that both captions have."""
TRIED_FACTOR = 4
"""References tried for each query."""
MOST_COMPARED = 400
"""Captions that share most words with a reference's and are compared by their phrases; of more, a sample."""
ADDED = ("with {added}", "add {added}", "the same but with {added}", "it also has {added}")
REMOVED = ("without {removed}", "remove {removed}", "the same but not {removed}", "take away {removed}")
CHANGED = (
    *("{added} instead of {removed}", "replace {removed} with {added}", "change {removed} to {added}"),
    *("not {removed} but {added}", "with {added}, without {removed}"),
)
OF_ONE_THING = ("{added}", "the same but {added}")
"""What comes alone, where the captions list nothing else that it could be said of."""
OF_A_LIST = ("{changes}",)
"""Names the thing that changes too ("make the star red"), where the captions list others, which stay unsaid."""
VERSION = 2
"""Goes up whenever the same captions and seed give other queries."""


@dataclass(frozen=True)
class CaptionEditQuery:
    """A composed query between rows of a list of captions.

    Attributes:
        target: of ``answers``, the picture most like the reference; without vectors, one drawn at random.
        answers: rows of all captions that say what the target's says, without the reference.
    """

    reference: int
    target: int
    modified_text: str
    answers: tuple[int, ...]


def caption_edit_queries(
    captions: Sequence[str | None], most: int = 500, seed: int = 0, vectors_ND: np.ndarray | None = None
) -> list[CaptionEditQuery]:
    """At most ``most`` queries of different references; the same for the same captions, vectors and seed.

    None where no two captions share most of their words. Time grows with the captions that share a word with a
    reference: 5 ms a query at a million captions.

    Args:
        captions: of N pictures, None or empty where one has none.
        vectors_ND: the frozen image encoder's unit vectors of the same pictures.
    """
    neighbours = _Neighbours(captions)
    random = np.random.default_rng(seed)
    order = random.permutation(len(neighbours.described))[: TRIED_FACTOR * most]
    queries: list[CaptionEditQuery] = []
    for reference in (neighbours.described[number] for number in order):
        if len(queries) == most:
            break
        target = neighbours.drawn(reference, random)
        text = "" if target is None else _text(captions[reference] or "", captions[target] or "", random)
        if target is not None and text:
            answers = tuple(row for row in neighbours.with_meaning_of(target) if row != reference)
            if vectors_ND is not None:
                target = answers[int(np.argmax(vectors_ND[list(answers)] @ vectors_ND[reference]))]
            queries.append(CaptionEditQuery(reference, target, text, answers))
    return queries


class _Neighbours:
    """Captions by their words, and what is near to each of them."""

    def __init__(self, captions: Sequence[str | None]) -> None:
        self._words = [frozenset(word for word in caption_words(text or "") if " " not in word) for text in captions]
        self._meanings = [caption_meaning(text or "") for text in captions]
        self.described = [row for row, own in enumerate(self._words) if own]
        self._sizes_N = np.array([len(own) for own in self._words])
        rows_of: defaultdict[str, list[int]] = defaultdict(list)
        self._by_meaning: defaultdict[Meaning, list[int]] = defaultdict(list)
        for row in self.described:
            self._by_meaning[self._meanings[row]].append(row)
            for word in self._words[row]:
                rows_of[word].append(row)
        self._rows_of = {word: np.array(rows, np.int32) for word, rows in rows_of.items()}

    def with_meaning_of(self, row: int) -> list[int]:
        """Rows whose captions say the same as that of ``row``, which is one of them."""
        return self._by_meaning[self._meanings[row]]

    def drawn(self, reference: int, random: np.random.Generator) -> int | None:
        """A row whose caption differs in one phrase, at random."""
        rows = self._sharing_most_words(reference)
        if len(rows) > MOST_COMPARED:
            rows = random.choice(rows, MOST_COMPARED, replace=False)
        own = self._meanings[reference]
        meanings = [self._meanings[row] for row in rows.tolist()]
        is_near = {meaning: _phrases_apart(own, meaning) == 1 for meaning in set(meanings)}
        near = [row for row, meaning in zip(rows.tolist(), meanings, strict=True) if is_near[meaning]]
        return int(random.choice(near)) if near else None

    def _sharing_most_words(self, reference: int) -> np.ndarray:
        """Rows of captions that share at least half of the longer one's words, and differ in a word."""
        own = self._words[reference]
        shared_N = np.bincount(np.concatenate([self._rows_of[word] for word in own]), minlength=len(self._sizes_N))
        longer_N = np.maximum(self._sizes_N, len(own))
        return np.flatnonzero((shared_N >= SHARED_WORDS * longer_N) & (shared_N < longer_N))


@lru_cache(100_000)
def _phrases_apart(one: Meaning, other: Meaning) -> int:
    """Phrases that only one of the two captions has, counted on the side that has more of them."""
    return max(len(one), len(other)) - (Counter(one) & Counter(other)).total()


def _text(reference: str, target: str, random: np.random.Generator) -> str:
    """What leads from one caption to the other, in a wording drawn at random; empty where nothing does."""
    wordings, values = _wordings(reference, target)
    return wordings[int(random.integers(len(wordings)))].format_map(values).strip() if wordings else ""


@lru_cache(10_000)
def _wordings(reference: str, target: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Wordings of what leads from one caption to the other, and the values of their fields; none where nothing does."""
    change = difference(reference, target)
    if not change.added and not change.removed:
        return (), {}
    values = worded(reference, target, change)
    wordings: tuple[str, ...] = CHANGED if change.added and change.removed else ADDED if change.added else REMOVED
    if values["kept"]:
        wordings += OF_A_LIST
    elif change.added:
        wordings += OF_ONE_THING
    return wordings, values
