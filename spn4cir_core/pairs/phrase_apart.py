"""Pairs whose captions differ in one phrase, the nearest by picture first.

For captions that list things ("small red circle, large blue star"): one is added, taken away or changed, and the rest
stays. What captions do not say, such as where things are, stays too in the target that looks most like the reference.
Captions are looked up by their phrases without one of them, so the time grows with N and not with N².
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from spn4cir_core.captions.words import phrases_of
from spn4cir_core.pairs.allowed import Allowed
from spn4cir_core.pairs.draws import draw_one
from spn4cir_core.pairs.picks import Picks, Vectors

MOST_CAPTIONS_PER_LIST = 400
"""Captions of equal phrases that are looked at: a sample of more."""
Phrases = tuple[tuple[str, ...], ...]


class PhraseIndex:
    """Captions by their phrases, and by their phrases without one of them.

    Args:
        captions: one of each of N images; an empty one takes no part.
    """

    def __init__(self, captions: Sequence[str]) -> None:
        self._phrases_N = [phrases_of(caption) for caption in captions]
        self._whole: defaultdict[Phrases, list[int]] = defaultdict(list)
        self._with_one_less: defaultdict[Phrases, list[int]] = defaultdict(list)
        for row, phrases in enumerate(self._phrases_N):
            if phrases:
                self._whole[phrases].append(row)
                for rest in _with_one_less(phrases):
                    self._with_one_less[rest].append(row)

    def rows(self, row: int, key: int) -> list[int]:
        """Rows of captions with one phrase more, less or other, ascending; a seeded sample where there are many.

        One phrase in place of another is no edit where nothing else stays.
        """
        own = self._phrases_N[row]
        if not own:
            return []
        near = set(sampled(self._with_one_less.get(own, ()), key))
        for rest in filter(None, _with_one_less(own)):
            near.update(sampled(self._whole.get(rest, ()), key))
            near.update(sampled(self._with_one_less[rest], key))
        return sorted(other for other in near if self._phrases_N[other] != own)


def _with_one_less(phrases: Phrases) -> Iterator[Phrases]:
    """The phrases without each of them, every distinct rest once."""
    yield from dict.fromkeys(phrases[:number] + phrases[number + 1 :] for number in range(len(phrases)))


def sampled(rows: Sequence[int], key: int) -> Sequence[int]:
    """The rows, or ``MOST_CAPTIONS_PER_LIST`` evenly spaced ones from a start that the key draws."""
    if len(rows) <= MOST_CAPTIONS_PER_LIST:
        return rows
    step, start = len(rows) / MOST_CAPTIONS_PER_LIST, draw_one(key, 0) % len(rows)
    return [rows[(start + int(number * step)) % len(rows)] for number in range(MOST_CAPTIONS_PER_LIST)]


def mine_phrase_apart(
    index: PhraseIndex,
    vectors: Vectors,
    references: np.ndarray,
    keys: np.ndarray,
    per_reference: int,
    allowed: Allowed,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Picks:
    """The targets of each reference that are most like it, of those whose captions are one phrase apart.

    Args:
        index: captions of the N images.
        references: (R,) rows.
        keys: (N,) uint64 from :func:`.draws.id_keys`.

    Returns:
        Picks whose rank counts a reference's targets from 0 and whose score is the images' cosine.
    """
    parts: list[Picks] = []
    for done, reference in enumerate(references.tolist()):
        parts.append(_nearest(index, vectors, reference, int(keys[reference]), per_reference, allowed))
        if done % 1000 == 0:
            on_progress(done)
    return Picks.joined(parts)


def _nearest(
    index: PhraseIndex, vectors: Vectors, reference: int, key: int, per_reference: int, allowed: Allowed
) -> Picks:
    rows = index.rows(reference, key)
    target_T = np.array([row for row in rows if allowed.category[row] == allowed.category[reference]], np.int64)
    reference_T = np.full(len(target_T), reference)
    score_T = vectors.cosines(reference_T, target_T)
    code_T = allowed.check(reference_T, target_T, score_T)
    allowed.count(code_T)
    order_K = np.flatnonzero(code_T == 0)
    order_K = order_K[np.argsort(-score_T[order_K], kind="stable")][:per_reference]
    return Picks(
        reference_T[order_K].astype(np.int32),
        target_T[order_K].astype(np.int32),
        np.arange(len(order_K), dtype=np.int32),
        score_T[order_K],
    )
