from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from spn4cir_core.captions.words import words_of
from spn4cir_core.pairs import caption_overlap
from spn4cir_core.pairs.allowed import Allowed
from spn4cir_core.pairs.caption_overlap import CaptionIndex, OverlapLimits, mine_caption_overlap
from spn4cir_core.pairs.draws import id_keys
from spn4cir_core.pairs.picks import Picks, Vectors

THINGS = ("account", "bell", "kettle", "drum", "jersey")
COLOURS = ("red", "blue", "green")
EXTRAS = ("", " with check mark", " with minus sign, outline")
CAPTIONS = [f"{colour} {thing}{extra}" for thing, colour, extra in product(THINGS, COLOURS, EXTRAS)]


def mined(captions: list[str], overlap: OverlapLimits, seed: int = 0, **allowed: np.ndarray) -> Picks:
    count = len(captions)
    vectors_ND = np.eye(count, dtype=np.float32)
    constraints = {
        "component": np.full(count, -1),
        "annotated": np.zeros(0, np.int64),
        "category": np.zeros(count, np.int64),
        **allowed,
    }
    keys = id_keys([f"{number}.png" for number in range(count)], seed)
    return mine_caption_overlap(
        CaptionIndex(captions), Vectors(vectors_ND), np.arange(count), keys, overlap, Allowed(1.01, **constraints)
    )


def slow(captions: list[str], overlap: OverlapLimits) -> dict[int, set[int]]:
    """All targets that may be picked for each reference, by comparing every caption with every other one."""
    words = [set(words_of(caption)) for caption in captions]
    described = sum(1 for one in words if one)
    rarity = {
        word: math.log((1 + described) / (1 + sum(word in one for one in words))) + 0.1 for word in set().union(*words)
    }
    rarest = [max(one, key=lambda word: (rarity[word], word), default=None) for one in words]
    targets: dict[int, set[int]] = {}
    for a, b in product(range(len(words)), repeat=2):
        if a == b or not words[a] or not words[b]:
            continue
        common = sum(rarity[word] for word in words[a] & words[b])
        share = common / max(sum(rarity[word] for word in words[a]), sum(rarity[word] for word in words[b]))
        apart = max(len(words[a] - words[b]), len(words[b] - words[a]))
        same_thing = rarest[a] in words[b] or rarest[b] in words[a]
        if share >= overlap.least_share and 0 < apart <= overlap.most_words_apart and same_thing:
            targets.setdefault(a, set()).add(b)
    return targets


def pairs_of(picks: Picks) -> set[tuple[int, int]]:
    return set(zip(picks.reference.tolist(), picks.target.tolist(), strict=True))


def test_every_pair_is_one_that_comparing_all_captions_gives_and_none_is_missing() -> None:
    overlap = OverlapLimits(least_share=0.3, most_words_apart=3, per_reference=len(CAPTIONS))
    expected = {(a, b) for a, targets in slow(CAPTIONS, overlap).items() for b in targets}
    assert pairs_of(mined(CAPTIONS, overlap)) == expected and len(expected) > len(CAPTIONS)


def test_the_fewest_words_apart_come_first_and_colourways_are_pairs() -> None:
    picks = mined(CAPTIONS, OverlapLimits(0.3, 3, per_reference=2))
    assert np.bincount(picks.reference).max() == 2 and set(picks.rank.tolist()) == {0, 1}
    colourways = {(a, b) for a, b in pairs_of(picks) if CAPTIONS[a].split()[1:] == CAPTIONS[b].split()[1:]}
    assert len(colourways) == 2 * len(CAPTIONS), "one word apart: the other two colours of the same thing"


def test_draws_depend_on_the_seed_and_not_on_the_run() -> None:
    overlap = OverlapLimits(0.3, 3, per_reference=1)
    assert pairs_of(mined(CAPTIONS, overlap)) == pairs_of(mined(CAPTIONS, overlap))
    assert pairs_of(mined(CAPTIONS, overlap)) != pairs_of(mined(CAPTIONS, overlap, seed=1))


def test_refused_pairs_are_counted_and_categories_stay_apart() -> None:
    overlap = OverlapLimits(0.3, 3, per_reference=5)
    component = np.zeros(len(CAPTIONS), np.int64)
    assert not len(mined(CAPTIONS, overlap, component=component).reference)
    category = np.arange(len(CAPTIONS)) % 2
    pairs = pairs_of(mined(CAPTIONS, overlap, category=category))
    assert pairs and all(a % 2 == b % 2 for a, b in pairs)


@pytest.mark.parametrize("captions", [[], ["", ""], ["a cat", "a cat"], ["one", "two", "three"]])
def test_captions_without_overlap_give_no_pair(captions: list[str]) -> None:
    assert not len(mined(captions, OverlapLimits(0.4, 3, 8)).reference)


def test_a_common_word_is_sampled_so_that_time_grows_with_the_captions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_overlap, "MOST_CAPTIONS_PER_WORD", 5)
    index = CaptionIndex([f"jersey {number}" for number in range(100)])
    assert len(index.candidates(0, 7)) <= 5
    assert index.candidates(0, 7) == index.candidates(0, 7) != index.candidates(0, 8)
