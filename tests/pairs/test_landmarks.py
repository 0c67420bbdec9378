from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from spn4cir_core.pairs.allowed import Allowed
from spn4cir_core.pairs.landmarks import exact_ranks, landmarks_needed, measure, mine_landmarks, whole
from spn4cir_core.pairs.picks import Vectors
from spn4cir_core.pairs.rank_window import RankWindow
from tests.pairs.conftest import clustered, slow_ranking

Free = Callable[[int], Allowed]
Keys = Callable[[int], np.ndarray]
ROWS = 6000
WINDOW = RankWindow(2400, 4800, ROWS - 1)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return clustered(ROWS, 32)


def test_picks_lie_in_the_exact_window(vectors: np.ndarray, free: Free, keys: Keys) -> None:
    picks = mine_landmarks(Vectors(vectors), WINDOW, np.arange(ROWS), keys(ROWS), 1, free(ROWS), 2048, 0)
    assert len(picks.reference) == ROWS
    assert (picks.reference != picks.target).all()
    exact = (vectors @ vectors.T > picks.score[:, None].astype(np.float32) + 1e-6).sum(1) - 1
    assert np.mean((exact >= WINDOW.first) & (exact < WINDOW.end)) >= 0.97
    assert np.abs(exact - picks.rank).mean() < 0.01 * ROWS
    assert ((picks.rank >= WINDOW.first) & (picks.rank < WINDOW.end)).all()
    counts = np.histogram(exact, bins=6, range=(WINDOW.first, WINDOW.end))[0]
    assert (counts > 0.8 * ROWS / 6).all(), "the draw favours a part of the window"


def test_block_size_and_threads_change_nothing(vectors: np.ndarray, free: Free, keys: Keys) -> None:
    all_picks = []
    for block_rows, threads in [(7, 1), (100, 1), (1024, 1), (1024, 2)]:
        rows = np.arange(0, ROWS, 7)
        with threadpool_limits(threads):
            all_picks.append(
                mine_landmarks(Vectors(vectors), WINDOW, rows, keys(ROWS), 2, free(ROWS), 500, 0, block_rows=block_rows)
            )
    for other in all_picks[1:]:
        for name in ("reference", "target", "rank", "score"):
            np.testing.assert_array_equal(getattr(all_picks[0], name), getattr(other, name))


def test_constraints_hold(vectors: np.ndarray, keys: Keys) -> None:
    rng = np.random.default_rng(1)
    category, component = rng.integers(0, 5, ROWS), rng.integers(-1, 20, ROWS)
    annotated = np.unique(rng.integers(0, ROWS * ROWS, 3_000_000))
    allowed = Allowed(0.05, component, annotated, category)
    picks = mine_landmarks(Vectors(vectors), WINDOW, np.arange(ROWS), keys(ROWS), 3, allowed, 500, 0)
    assert len(picks.reference) > ROWS
    assert picks.score.max() < 0.051
    assert (category[picks.reference] == category[picks.target]).all()
    assert not ((component[picks.reference] == component[picks.target]) & (component[picks.reference] >= 0)).any()
    pairs = picks.reference.astype(np.int64) * ROWS + picks.target
    assert len(np.unique(pairs)) == len(pairs)
    assert not np.isin(pairs, annotated).any()
    assert len(allowed.refused) == 3


def test_whole_numbers_add_without_rounding() -> None:
    for dimensions in (32, 768, 4096):
        vectors = np.random.default_rng(0).normal(size=(50, dimensions))
        vectors[:25] = vectors[:25].round(0) + 0.1  # components of one size: the worst rounding of the norm
        rounded = whole(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        integers = rounded.astype(np.int64)
        np.testing.assert_array_equal(rounded @ rounded.T, integers @ integers.T)


def test_exact_ranks_are_those_of_a_full_sort() -> None:
    vectors = clustered(150, 16)[:75]  # without the equal rows: whole numbers tie where they do
    targets = np.roll(np.arange(75), 5)
    ranks = exact_ranks(Vectors(vectors), np.arange(75), targets, block_rows=20)
    wanted = [slow_ranking(vectors, row).index(target) for row, target in enumerate(targets)]
    assert np.abs(ranks - wanted).max() <= 1


def test_measure_reports_what_is_outside(vectors: np.ndarray, free: Free, keys: Keys) -> None:
    picks = mine_landmarks(Vectors(vectors), WINDOW, np.arange(ROWS), keys(ROWS), 1, free(ROWS), 1000, 0)
    good = measure(Vectors(vectors), WINDOW, picks, 0)
    assert good.sampled == 256
    assert good.inside_share > 0.95
    assert measure(Vectors(vectors), RankWindow(0, 100, ROWS - 1), picks, 0).inside_share == 0


def test_narrow_windows_need_more_landmarks() -> None:
    assert landmarks_needed(RankWindow(40, 80, 100)) < 2048
    assert landmarks_needed(RankWindow(40, 45, 100)) > 20 * landmarks_needed(RankWindow(40, 80, 100))
