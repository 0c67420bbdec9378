from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from spn4cir_core.splits.assign_splits import Assignment, assign_splits

SHARES = {"validation": 0.05, "evaluation": 0.1}


def assign(
    sizes: list[int], requested: dict[int, set[str]] | None = None, shares: dict[str, float] = SHARES, seed: int = 0
) -> Assignment:
    """Components of the given sizes; ``requested`` by image."""
    component_N = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    image_ids = [f"{index:05d}" for index in range(len(component_N))]
    wishes = [(requested or {}).get(index, set()) for index in range(len(component_N))]
    return assign_splits(image_ids, component_N, wishes, shares, seed)


def test_the_strictest_wish_takes_the_whole_component_and_conflicts_are_counted() -> None:
    requested = {0: {"train"}, 1: {"evaluation"}, 3: {"validation"}, 4: {"train"}, 6: {"train"}}
    result = assign([3, 3, 1], requested)
    assert result.splits == ["evaluation"] * 3 + ["validation"] * 3 + ["train"]
    assert result.conflicts == {"train → evaluation": 1, "train → validation": 1}
    assert result.free_images == 0


@pytest.mark.parametrize("seed", range(8))
def test_shares_are_met_by_images_even_where_components_are_uneven(seed: int) -> None:
    sizes = [1 + int(1000 / (rank + 3)) for rank in range(300)]
    counts = Counter(assign(sizes, seed=seed).splits)
    total = sum(sizes)
    assert 0.08 * total < counts["evaluation"] < 0.13 * total
    assert 0.03 * total < counts["validation"] < 0.07 * total


def test_components_are_never_divided() -> None:
    sizes = [1, 2, 3] * 40
    splits = np.array(assign(sizes).splits)
    starts = np.cumsum([0, *sizes])
    assert all(len(set(splits[a:b])) == 1 for a, b in itertools.pairwise(starts))
    assert set(splits) == {"train", "validation", "evaluation"}


@pytest.mark.parametrize("count", range(1, 12))
@pytest.mark.parametrize("shares", [SHARES, {"validation": 0.4, "evaluation": 0.59}])
def test_a_tiny_corpus_always_has_something_to_train_on(count: int, shares: dict[str, float]) -> None:
    for seed in range(5):
        assert "train" in assign([1] * count, shares=shares, seed=seed).splits


def test_ten_images_have_one_to_evaluate() -> None:
    assert Counter(assign([1] * 10).splits)["evaluation"] == 1


def test_one_giant_component_is_trained_on() -> None:
    assert Counter(assign([900, 50, 50]).splits)["train"] >= 900


def test_no_shares_hold_nothing_out() -> None:
    assert set(assign([1] * 50, shares={"validation": 0.0, "evaluation": 0.0}).splits) == {"train"}


def test_new_images_move_few_old_ones() -> None:
    before = assign([1] * 2000).splits
    after = assign([1] * 2020).splits[:2000]
    moved = sum(a != b for a, b in zip(before, after, strict=True))
    assert moved <= 12, "only at the ends of the stretches that are held out"


def test_the_seed_decides_and_repeats() -> None:
    assert assign([1] * 100, seed=1) == assign([1] * 100, seed=1)
    assert assign([1] * 100, seed=1).splits != assign([1] * 100, seed=2).splits
