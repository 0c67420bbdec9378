"""The new order of candidates against a slow oracle, and scores that are none."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from spn4cir_core.errors import RecipeError
from spn4cir_core.reranking.base import RERANKERS, Score, new_order, usable


def slow_order(scores: Sequence[Score]) -> list[int]:
    """Of all orders that leave candidates without a score where they are, the one a person would write down."""
    scored = [at for at, score in enumerate(scores) if score is not None]
    for order in itertools.permutations(scored):
        values = [scores[at] for at in order]
        if all(
            one > other or (one == other and first < second)  # type: ignore[operator]
            for (one, first), (other, second) in itertools.pairwise(zip(values, order, strict=True))
        ):
            left = list(order)
            return [at if score is None else left.pop(0) for at, score in enumerate(scores)]
    raise AssertionError("there is always one")


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_the_order_is_that_of_the_oracle(count: int) -> None:
    for scores in itertools.product([None, 0.0, 0.5, 2.0], repeat=count):
        assert new_order(scores) == slow_order(scores)


def test_without_a_score_the_order_stays() -> None:
    assert new_order([None] * 5) == list(range(5))


@pytest.mark.parametrize("scores", [[], [1.0], [1.0, 2.0, 3.0]])
def test_scores_that_are_not_one_for_each_candidate_are_none(scores: list[Score]) -> None:
    assert usable(scores, 2) == [None, None]


def test_a_score_that_is_no_finite_number_is_none() -> None:
    assert usable([1, float("nan"), float("inf"), None], 4) == [1.0, None, None, None]


def test_a_mistake_in_a_plug_in_inside_names_both() -> None:
    model = {"kind": "endpoint", "base_url": "http://localhost:1/v1", "model": "m"}
    with pytest.raises(
        RecipeError, match=r"^reranker 'judge': judge 'yes': model = .* has no likelihoods here"
    ) as caught:
        RERANKERS.build({"kind": "judge", "judge": {"kind": "yes", "model": model}})
    assert "line" not in str(caught.value)
    with pytest.raises(RecipeError, match="Did you mean 'grid'"):
        RERANKERS.build("grdi")
