from __future__ import annotations

import numpy as np
import pytest

from spn4cir_core.triplets.ranks import OUTSIDE, STEPS, count_before, on_grid, ranks


def test_grid_vectors_have_unit_length_in_steps() -> None:
    assert on_grid(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [[0.6 * STEPS, 0.8 * STEPS], [0, 0]]


@pytest.mark.parametrize("blocks", [(1, 1), (3, 5), (512, 16_384)])
def test_counts_are_those_of_a_loop_whatever_the_blocks(blocks: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    candidates = on_grid(np.repeat(random.normal(size=(10, 384)), 2, axis=0))  # each one twice: every rank has ties
    queries = on_grid(random.normal(size=(9, 384)))
    targets = np.array([0, 1, 2, 3, 4, 5, 6, 7, OUTSIDE])
    references = np.array([5, 6, OUTSIDE, 2, 19, 4, 0, 1, 3])
    target_vectors = on_grid(random.normal(size=(9, 384)))
    target_vectors[:8] = candidates[targets[:8]]
    better, ties = count_before(queries, target_vectors, candidates, (targets, references), *blocks)
    for row, query in enumerate(queries.astype(int)):
        others = [index for index in range(20) if index not in (targets[row], references[row])]
        own = int(query @ target_vectors[row].astype(int))
        scores = [int(query @ candidates[index].astype(int)) for index in others]
        assert better[row] == sum(score > own for score in scores)
        assert ties[row] == sum(score == own for score in scores)
    assert ties.any() and better.any()


def test_half_of_the_ties_stand_before_rounded_up() -> None:
    assert ranks(np.array([0, 0, 2]), np.array([0, 1, 4])).tolist() == [0, 1, 4]


def test_products_of_grid_vectors_are_exact_in_float32() -> None:
    random = np.random.default_rng(1)
    vectors = on_grid(random.normal(size=(50, 1024)))
    exact = vectors.astype(np.int64) @ vectors.astype(np.int64).T
    assert (vectors.astype(np.float32) @ vectors.astype(np.float32).T == exact).all()
    assert exact.max() < 2**24
