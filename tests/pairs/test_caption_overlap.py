from __future__ import annotations

import math
import os
import subprocess
import sys
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spn4cir_core.captions.words import words_of
from spn4cir_core.pairs import caption_overlap
from spn4cir_core.pairs.allowed import Allowed
from spn4cir_core.pairs.caption_overlap import CaptionIndex, OverlapLimits, mine_caption_overlap
from spn4cir_core.pairs.draws import draw_one, id_keys
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
        CaptionIndex(captions, keys), Vectors(vectors_ND), np.arange(count), overlap, Allowed(1.01, **constraints)
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
    captions, limits = ["jersey", *(f"jersey {number}" for number in range(100))], OverlapLimits(0.0, 3, 1)

    def compared(seed: int) -> list[int]:
        keys = id_keys(captions, seed)
        return CaptionIndex(captions, keys).candidates(np.array([0]), limits).target.tolist()

    assert len(compared(7)) == 4, "the reference itself is one of five"
    assert compared(7) == compared(7) != compared(8)


def one_by_one(captions: list[str], overlap: OverlapLimits, keys: np.ndarray, category: np.ndarray) -> list[list[int]]:
    """Reference, target and rank of each pair, candidate after candidate with sets and exact fractions."""
    words = [set(words_of(caption)) for caption in captions]
    rows = {word: [row for row, own in enumerate(words) if word in own] for word in set().union(*words)}
    described = sum(map(bool, words))
    rarity = {word: round((float(np.log((1 + described) / (1 + len(of)))) + 0.1) * 2**20) for word, of in rows.items()}
    by_rarity = [sorted(own, key=lambda word: (-len(rows[word]), word), reverse=True) for own in words]
    pairs = []
    for reference, rarest in enumerate(by_rarity):
        near = []
        looked_at = [sampled(rows[word], reference, keys) for word in rarest[: caption_overlap.LOOKED_UP_WORDS]]
        for row in set().union(*looked_at) - {reference}:
            common = sum(rarity[word] for word in words[reference] & words[row])
            share = Fraction(common, max(sum(map(rarity.__getitem__, words[side])) for side in (reference, row)))
            apart = max(len(words[reference] - words[row]), len(words[row] - words[reference]))
            same_thing = rarest[0] in words[row] or by_rarity[row][0] in words[reference]
            if same_thing and 0 < apart <= overlap.most_words_apart and share >= overlap.least_share:
                near.append((apart, -share, draw_one(int(keys[reference] ^ keys[row]), 0), row))
        near = [candidate for candidate in sorted(near) if category[candidate[-1]] == category[reference]]
        pairs += [[reference, row, rank] for rank, (*_, row) in enumerate(near[: overlap.per_reference])]
    return pairs


def sampled(rows: list[int], reference: int, keys: np.ndarray) -> list[int]:
    """The reference and the rows behind it in the order of keys, the first behind the last."""
    in_order = sorted(rows, key=lambda row: int(keys[row]))
    own = in_order.index(reference)
    return (in_order[own:] + in_order[:own])[: caption_overlap.MOST_CAPTIONS_PER_WORD]


@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=6).map(" ".join), max_size=40),
    st.integers(1, 9),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.3, 0.6]),
    st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_blocks_give_what_comparing_one_by_one_gives(
    captions: list[str], most: int, per_reference: int, least_share: float, seed: int
) -> None:
    captions = [caption.replace("a", "apple") for caption in captions]  # "a" is an article
    overlap, category = OverlapLimits(least_share, 2, per_reference), np.arange(len(captions)) // 3 % 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(caption_overlap, "MOST_CAPTIONS_PER_WORD", most)
        patch.setattr(caption_overlap, "REFERENCES_AT_ONCE", 7)
        picks = mined(captions, overlap, seed, category=category)
        keys = id_keys([f"{number}.png" for number in range(len(captions))], seed)
        expected = one_by_one(captions, overlap, keys, category)
    assert np.stack([picks.reference, picks.target, picks.rank], 1).tolist() == expected


PICKS = """
import numpy as np
from spn4cir_core.pairs.caption_overlap import CaptionIndex, OverlapLimits
captions = [f"{one} {two} {three} {four}" for one in "br" for two in "stu" for three in "vwx" for four in "yz"]
rows = np.arange(len(captions))
pairs = CaptionIndex(captions, rows.astype(np.uint64)).candidates(rows, OverlapLimits(0.0, 3, 1))
print(pairs.target.tolist(), pairs.share.tolist())
"""


def test_pairs_do_not_depend_on_the_order_of_words_in_a_set() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", PICKS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1 and len(outputs.pop()) > 1000
