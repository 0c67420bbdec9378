from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from spn4cir_core.captions.words import phrases_of
from spn4cir_core.pairs import phrase_apart
from spn4cir_core.pairs.allowed import Allowed
from spn4cir_core.pairs.draws import id_keys
from spn4cir_core.pairs.phrase_apart import PhraseIndex, mine_phrase_apart
from spn4cir_core.pairs.picks import Picks, Vectors

PHRASES = ("red circle", "blue star", "green square")
CAPTIONS = ["", *PHRASES, *(f"{one}, {other}" for one, other in product(PHRASES, PHRASES)), ", ".join(PHRASES)]
VECTORS_ND = np.random.default_rng(0).normal(size=(len(CAPTIONS), 5)).astype(np.float32)
VECTORS_ND /= np.linalg.norm(VECTORS_ND, axis=1, keepdims=True)


def mined(per_reference: int, max_cosine: float = 1.01, seed: int = 0) -> tuple[Picks, Allowed]:
    count = len(CAPTIONS)
    allowed = Allowed(max_cosine, np.full(count, -1), np.zeros(0, np.int64), np.zeros(count, np.int64))
    keys = id_keys([f"{number}.png" for number in range(count)], seed)
    picks = mine_phrase_apart(
        PhraseIndex(CAPTIONS), Vectors(VECTORS_ND), np.arange(count), keys, per_reference, allowed
    )
    return picks, allowed


def one_phrase_apart(one: str, other: str) -> bool:
    """By trying to delete a phrase of the one, of the other, or of each; something has to stay."""
    left, right = list(phrases_of(one)), list(phrases_of(other))
    if not left or not right or left == right:
        return False

    def less(phrases: list[tuple[str, ...]]) -> list[list[tuple[str, ...]]]:
        return [phrases[:number] + phrases[number + 1 :] for number in range(len(phrases))]

    return right in less(left) or left in less(right) or any(rest and rest in less(right) for rest in less(left))


def test_all_that_are_one_phrase_apart_are_paired() -> None:
    picks, _ = mined(per_reference=99)
    pairs = set(zip(picks.reference.tolist(), picks.target.tolist(), strict=True))
    rows = range(len(CAPTIONS))
    assert pairs == {(a, b) for a, b in product(rows, rows) if one_phrase_apart(CAPTIONS[a], CAPTIONS[b])}


def test_of_these_the_look_alikes_come_first() -> None:
    every, _ = mined(per_reference=99)
    nearest, _ = mined(per_reference=2)
    cosine_NN = VECTORS_ND @ VECTORS_ND.T
    for reference in np.unique(every.reference):
        targets = every.target[every.reference == reference]
        expected = sorted(targets, key=lambda row: -cosine_NN[reference, row])[:2]
        own = nearest.reference == reference
        assert nearest.target[own].tolist() == expected and nearest.rank[own].tolist() == list(range(len(expected)))
    np.testing.assert_allclose(nearest.score, cosine_NN[nearest.reference, nearest.target], atol=1e-6)


def test_a_refused_target_leaves_its_rank_to_the_next_one() -> None:
    every, _ = mined(per_reference=99)
    limit = float(np.median(every.score)) + 1e-3
    picks, allowed = mined(per_reference=1, max_cosine=limit)
    assert picks.score.max() < limit
    assert sum(allowed.refused.values()) == int((every.score >= limit).sum()) > 0
    assert set(picks.reference) == set(every.reference[every.score < limit])


def test_of_many_captions_a_seeded_sample_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phrase_apart, "MOST_CAPTIONS_PER_LIST", 1)
    few, again = mined(per_reference=99)[0], mined(per_reference=99)[0]
    monkeypatch.undo()
    every = mined(per_reference=99)[0]
    assert 0 < len(few.target) < len(every.target)
    np.testing.assert_array_equal(few.target, again.target)


def test_no_captions_give_no_pairs() -> None:
    allowed = Allowed(1.01, np.full(2, -1), np.zeros(0, np.int64), np.zeros(2, np.int64))
    keys = id_keys(["a", "b"], 0)
    picks = mine_phrase_apart(PhraseIndex(["", ""]), Vectors(np.eye(2)), np.arange(2), keys, 3, allowed)
    assert not len(picks.reference) and not len(picks.rank)
