"""Greedy soups against the obvious loop, on a score with a known best point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from spn4cir_core.training.soup import greedy_soup, mean_of

if TYPE_CHECKING:
    from spn4cir_core.training.soup import State


def state(value: float) -> State:
    return {"weight": torch.tensor([float(value)]), "steps": torch.tensor(7)}


def near_zero(one: State) -> float:
    return -abs(float(one["weight"]))


def test_what_lowers_the_score_is_left_out() -> None:
    soup, ingredients = greedy_soup({"far": state(9), "above": state(1), "below": state(-1.5)}, near_zero)
    assert [(one.name, one.is_in) for one in ingredients] == [("above", True), ("below", True), ("far", False)]
    assert [one.alone for one in ingredients] == [-1, -1.5, -9]
    assert ingredients[0].added == -1 and ingredients[1].added == pytest.approx(-0.25)
    assert float(soup["weight"]) == -0.25 and int(soup["steps"]) == 7


def test_a_soup_is_never_worse_than_its_best_training() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        states = {str(number): state(float(torch.randn((), generator=generator))) for number in range(5)}
        soup, ingredients = greedy_soup(states, near_zero)
        assert near_zero(soup) >= max(map(near_zero, states.values()))
        taken = [states[one.name] for one in ingredients if one.is_in]
        torch.testing.assert_close(soup["weight"], sum(one["weight"] for one in taken) / len(taken))


def test_equal_trainings_all_stay() -> None:
    _, ingredients = greedy_soup({"a": state(1), "b": state(1)}, near_zero)
    assert [one.is_in for one in ingredients] == [True, True]


def test_the_mean_keeps_the_type() -> None:
    mean = mean_of([{"x": torch.tensor([1.0], dtype=torch.float16)}, {"x": torch.tensor([2.0], dtype=torch.float16)}])
    assert mean["x"].dtype == torch.float16 and float(mean["x"]) == 1.5


def test_none_is_no_soup() -> None:
    with pytest.raises(ValueError, match="at least one training"):
        greedy_soup({}, near_zero)
