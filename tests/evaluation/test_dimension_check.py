"""Ceilings of dimensions on relevance whose answer is known."""

from __future__ import annotations

import itertools

import pytest

from spn4cir_core.evaluation.dimension_check import ceiling


def test_one_answer_each_fits_on_a_circle() -> None:
    """Images around a circle, each query at its own: the nearest is always the wanted one."""
    assert ceiling([[row] for row in range(8)], 8, 2) == 1.0


def test_all_pairs_need_more_than_two_numbers() -> None:
    """On a circle only neighbours can be the two best: 10 of the 45 pairs, if all ten images differ."""
    pairs = [list(pair) for pair in itertools.combinations(range(10), 2)]
    flat = ceiling(pairs, 10, 2, steps=300)
    assert flat < 0.6
    assert ceiling(pairs, 10, 10) == 1.0


def test_queries_with_the_same_answers_count_each() -> None:
    assert ceiling([[0], [0], [0], [1]], 3, 2) == 1.0
    assert ceiling([[0, 1, 2]], 3, 1) == 1.0, "no other image is there"


@pytest.mark.parametrize(("answers", "images"), [([], 3), ([[]], 3), ([[3]], 3)])
def test_what_is_no_relevance_is_refused(answers: list[list[int]], images: int) -> None:
    with pytest.raises(ValueError, match="at least one answer"):
        ceiling(answers, images, 2)
