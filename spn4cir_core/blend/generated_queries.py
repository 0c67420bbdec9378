"""Validation queries without annotation: pairs whose captions share most words, texts that name only the change.

Weights fitted on pairs of little overlap choose the text alone, since such a text names the target in full. And where
many pictures share the target's caption, the one that looks most like the reference is the target, as users want what
they do not speak of to stay: without that, weights say that pictures do not count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spn4cir_core.texts.caption_words import CaptionWords, caption_words
from spn4cir_core.texts.differences import Difference, caption_meaning, difference

SHARED_WORDS = 0.5
"""Least share of the longer caption's words that both captions have."""
TRIED_FACTOR = 4
"""References tried for each query wanted."""
ADDED = ("with {added}", "add {added}", "the same but with {added}", "it also has {added}", "{added}")
REMOVED = ("without {removed}", "remove the {removed}", "the same but no {removed}", "take away the {removed}")
CHANGED = (
    *("{added} instead of {removed}", "replace {removed} with {added}", "change {removed} to {added}"),
    *("the same but {added}", "not {removed} but {added}", "with {added}, without {removed}", "{added}"),
)


@dataclass(frozen=True)
class ValidationQuery:
    """A composed query over a gallery, by its rows.

    Attributes:
        reference: row of the reference image, excluded from the ranking.
        targets: the picture most like the reference among all whose caption says what the target's says; all of these
            where no vectors were given.
    """

    reference: int
    modified_text: str
    targets: tuple[int, ...]


def generated_queries(
    captions: Sequence[str | None], vectors_ND: np.ndarray | None = None, most: int = 500, seed: int = 0
) -> list[ValidationQuery]:
    """At most ``most`` queries, the same for the same captions and seed; none where captions share no words.

    Time grows with the captions that have a reference's words: seconds at a million captions.

    Args:
        captions: of the validation (else training) pictures.
        vectors_ND: the frozen image encoder's unit vectors of the same pictures.
    """
    described = [row for row, caption in enumerate(captions) if caption_words(caption or "")]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(described))[: TRIED_FACTOR * most]
    overlap = _Overlap(captions)
    rows_of = _rows_by_meaning(captions, described)
    queries: list[ValidationQuery] = []
    for reference in (described[index] for index in order):
        if len(queries) == most:
            break
        near = overlap.rows(reference)
        if len(near):
            target = int(rng.choice(near))
            queries += _query(captions, vectors_ND, reference, target, rows_of, rng)
    return queries


def _query(
    captions: Sequence[str | None],
    vectors_ND: np.ndarray | None,
    reference: int,
    target: int,
    rows_of: dict[object, list[int]],
    rng: np.random.Generator,
) -> list[ValidationQuery]:
    new = captions[target] or ""
    change = difference(captions[reference] or "", new)
    if caption_meaning(new) == caption_meaning(captions[reference] or "") or not (change.added or change.removed):
        return []
    targets = tuple(row for row in rows_of[caption_meaning(new)] if row != reference)
    if vectors_ND is not None:
        alike = vectors_ND[list(targets)] @ vectors_ND[reference]
        targets = (targets[int(np.argmax(alike))],)
    return [ValidationQuery(reference, _text(change, rng), targets)]


def _text(change: Difference, rng: np.random.Generator) -> str:
    wordings = CHANGED if change.added and change.removed else ADDED if change.added else REMOVED
    wording = wordings[int(rng.integers(len(wordings)))]
    return wording.format(added=change.added_text, removed=change.removed_text)


def _rows_by_meaning(captions: Sequence[str | None], described: Sequence[int]) -> dict[object, list[int]]:
    rows_of: defaultdict[object, list[int]] = defaultdict(list)
    for row in described:
        rows_of[caption_meaning(captions[row] or "")].append(row)
    return rows_of


class _Overlap:
    """Which captions share most words with one of them, through the captions of each word."""

    def __init__(self, captions: Sequence[str | None]) -> None:
        self._captions = captions
        self._index = CaptionWords.of(captions)
        single = np.array([" " not in word for word in self._index.column], bool)
        present_NV = self._index.weights_NV.copy()
        present_NV.data = np.ones_like(present_NV.data)
        self._words_N = np.asarray(present_NV @ single.astype(np.float32)).ravel()

    def rows(self, reference: int) -> np.ndarray:
        """Rows of captions with at least half of the longer caption's words in common, and other words too."""
        words = {word for word in caption_words(self._captions[reference] or "") if " " not in word}
        shared_N = np.zeros(len(self._words_N), np.float32)
        matrix = self._index.weights_NV
        for word in words:
            column = self._index.column[word]
            shared_N[matrix.indices[matrix.indptr[column] : matrix.indptr[column + 1]]] += 1
        longer_N = np.maximum(self._words_N, len(words))
        return np.flatnonzero((shared_N >= SHARED_WORDS * longer_N) & (shared_N < longer_N))
