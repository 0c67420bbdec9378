from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest

from spn4cir_core.pairs.allowed import Allowed
from spn4cir_core.pairs.clear_rows import _drawn, pick_clear_rows
from spn4cir_core.pairs.draws import shuffled
from spn4cir_core.pairs.exact import mine_exact
from spn4cir_core.pairs.neighbours import mine_neighbours
from spn4cir_core.pairs.picks import Picks, Vectors
from spn4cir_core.pairs.rank_window import RankWindow
from tests.pairs.conftest import clustered

Keys = Callable[[int], np.ndarray]
ROWS = 200
COLUMNS = ("reference", "target", "rank", "score")


def distinct(dimensions: int = 16) -> np.ndarray:
    vectors = np.random.default_rng(3).normal(size=(ROWS, dimensions))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def lists(vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and columns of each row's ``count`` best, itself among them."""
    scores = vectors @ vectors.T
    columns = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(scores, columns, 1), columns


def fussy(max_cosine: float = 2.0, categories: int = 1) -> Allowed:
    """Constraints that refuse some of what is drawn."""
    rng = np.random.default_rng(5)
    annotated = np.unique(rng.integers(0, ROWS * ROWS, 4000))
    return Allowed(max_cosine, rng.integers(-1, 20, ROWS), annotated, rng.integers(0, categories, ROWS))


def clear(
    vectors: np.ndarray, allowed: Allowed, window: RankWindow, per_reference: int, keys: Keys
) -> tuple[Picks, np.ndarray]:
    rows = np.arange(ROWS)
    listed = lists(vectors, window.end + 5)
    return pick_clear_rows(Vectors(vectors), rows, *listed, window, keys(ROWS), per_reference, allowed)


def test_draws_are_those_of_one_row_at_a_time(keys: Keys) -> None:
    actual = _drawn(keys(30), 7, 4)
    assert actual.tolist() == [list(islice(shuffled(7, int(key)), 4)) for key in keys(30)]
    assert _drawn(keys(3), 2, 9).shape == (3, 2)


def test_distinct_scores_leave_no_row_in_doubt(keys: Keys, free: Callable[[int], Allowed]) -> None:
    window = RankWindow(1, 20, ROWS - 1)
    picks, done = clear(distinct(), free(ROWS), window, 3, keys)
    assert done.mean() > 0.95
    assert len(picks.reference) == 3 * done.sum()


@pytest.mark.parametrize("per_reference", [1, 3, 40])
@pytest.mark.parametrize(("max_cosine", "categories"), [(2.0, 1), (0.5, 1), (2.0, 2)])
@pytest.mark.parametrize("make", [distinct, lambda: clustered(ROWS, 16)], ids=["distinct", "with equal scores"])
def test_what_is_picked_is_what_the_exact_mode_picks(
    make: Callable[[], np.ndarray], max_cosine: float, categories: int, per_reference: int, keys: Keys
) -> None:
    vectors, window = make(), RankWindow(1, 20, ROWS - 1)
    wanted_from, actual_from = fussy(max_cosine, categories), fussy(max_cosine, categories)
    shared = (Vectors(vectors), window, np.arange(ROWS), keys(ROWS), per_reference)
    wanted, (actual, _) = mine_exact(*shared, wanted_from), mine_neighbours(*shared, actual_from, block_rows=64)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(wanted, name), getattr(actual, name))
    assert wanted_from.refused == actual_from.refused


def test_a_row_missing_from_its_own_list_is_left_alone(keys: Keys, free: Callable[[int], Allowed]) -> None:
    vectors, window = distinct(), RankWindow(1, 20, ROWS - 1)
    scores, columns = lists(vectors, 30)
    picks, done = pick_clear_rows(
        Vectors(vectors), np.arange(ROWS), scores[:, 1:], columns[:, 1:], window, keys(ROWS), 1, free(ROWS)
    )
    assert not done.any() and not len(picks.reference)


def test_a_list_that_ends_with_the_window_is_left_alone(keys: Keys, free: Callable[[int], Allowed]) -> None:
    vectors, window = distinct(), RankWindow(1, 20, ROWS - 1)
    picks, done = pick_clear_rows(
        Vectors(vectors), np.arange(ROWS), *lists(vectors, 21), window, keys(ROWS), 1, free(ROWS)
    )
    assert not done.any() and not len(picks.reference)
