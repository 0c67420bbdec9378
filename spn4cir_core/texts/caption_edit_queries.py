"""Composed queries without annotation: pairs of captions that share most words, and texts that name the change alone.

A text of a pair that shares little names its target in full, so that recall on it says nothing about the reference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spn4cir_core.texts.differences import Difference, bag_of_words, caption_meaning, difference

SHARED_WORDS = 0.5
"""Least share of the longer caption's distinct words that both captions have."""
TRIED_FACTOR = 4
"""References tried for each query."""
ADDED = ("with {added}", "add {added}", "the same but with {added}", "it also has {added}")
REMOVED = ("without {removed}", "remove the {removed}", "the same but no {removed}", "take away the {removed}")
CHANGED = (
    "{added} instead of {removed}",
    "replace {removed} with {added}",
    "change {removed} to {added}",
    "not {removed} but {added}",
    "with {added}, without {removed}",
)


@dataclass(frozen=True)
class CaptionEditQuery:
    """A composed query between two rows of a list of captions."""

    reference: int
    target: int
    modified_text: str


def caption_edit_queries(captions: Sequence[str], most: int, seed: int) -> list[CaptionEditQuery]:
    """At most ``most`` queries of different references; the same for the same captions and seed.

    Time grows with the captions that share a word with a reference: 5 ms a query at a million captions.
    """
    words = [frozenset(bag_of_words(caption)) for caption in captions]
    rows_of = _rows_by_word(words)
    random = np.random.default_rng(seed)
    described = [row for row, own in enumerate(words) if own]
    order = random.permutation(len(described))[: TRIED_FACTOR * most]
    sizes_N = np.array([len(own) for own in words])
    queries: list[CaptionEditQuery] = []
    for reference in (described[number] for number in order):
        if len(queries) == most:
            break
        targets = _near(words[reference], rows_of, sizes_N)
        if len(targets):
            queries += _query(captions, reference, int(random.choice(targets)), random)
    return queries


def _rows_by_word(words: Sequence[frozenset[str]]) -> dict[str, np.ndarray]:
    rows_of: defaultdict[str, list[int]] = defaultdict(list)
    for row, own in enumerate(words):
        for word in own:
            rows_of[word].append(row)
    return {word: np.array(rows, np.int32) for word, rows in rows_of.items()}


def _near(own: frozenset[str], rows_of: dict[str, np.ndarray], sizes_N: np.ndarray) -> np.ndarray:
    """Rows of captions that share at least half of the longer one's words, and differ in a word."""
    shared_N = np.bincount(np.concatenate([rows_of[word] for word in own]), minlength=len(sizes_N))
    longer_N = np.maximum(sizes_N, len(own))
    return np.flatnonzero((shared_N >= SHARED_WORDS * longer_N) & (shared_N < longer_N))


def _query(captions: Sequence[str], reference: int, target: int, random: np.random.Generator) -> list[CaptionEditQuery]:
    change = difference(captions[reference], captions[target])
    if caption_meaning(captions[reference]) == caption_meaning(captions[target]) or not change.added + change.removed:
        return []
    return [CaptionEditQuery(reference, target, _text(change, random))]


def _text(change: Difference, random: np.random.Generator) -> str:
    wordings = CHANGED if change.added and change.removed else ADDED if change.added else REMOVED
    wording = wordings[int(random.integers(len(wordings)))]
    return wording.format(added=change.added_text, removed=change.removed_text)
