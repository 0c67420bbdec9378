from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spn4cir_core.pairs.rank_window import RankWindow, rank_of, window_in_ranks, window_members


@st.composite
def rounded_rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float]:
    """True scores full of ties and near-ties, and a copy that is off by up to ``error``."""
    size, seed = draw(st.integers(2, 60)), draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    error = draw(st.sampled_from([1e-6, 1e-4, 0.05]))
    true = rng.integers(0, draw(st.integers(1, 30)), size) / 100 + rng.integers(0, 3, size) * error / 2
    noisy = (true + rng.uniform(-0.9, 0.9, size) * error).astype(np.float32)
    return true, noisy, error


@given(rounded_rows(), st.data())
@settings(deadline=None, max_examples=300)
def test_members_and_ranks_are_those_of_a_full_sort(
    row: tuple[np.ndarray, np.ndarray, float], data: st.DataObject
) -> None:
    true, noisy, error = row
    first = data.draw(st.integers(0, len(true) - 1))
    end = data.draw(st.integers(first + 1, len(true)))
    ranking = sorted(range(len(true)), key=lambda position: (-true[position], position))
    members = window_members(noisy, first, end, error, lambda positions: true[positions])
    assert members.tolist() == sorted(ranking[first:end])
    for position in members:
        assert rank_of(noisy, int(position), error, lambda positions: true[positions]) == (
            ranking.index(position),
            true[position],
        )


@pytest.mark.parametrize(("first", "end"), [(0, 1), (0, 20_000), (1, 20), (8000, 16_000), (19_990, 20_000), (500, 501)])
@pytest.mark.parametrize("kind", ["normal", "skewed", "sorted", "few values"])
def test_long_rows(first: int, end: int, kind: str) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=20_000).astype(np.float32)
    if kind == "skewed":
        scores = np.where(np.arange(20_000) % 16 == 0, -5, scores).astype(np.float32)
    if kind == "sorted":
        scores.sort()
    if kind == "few values":
        scores = np.round(scores, 1)
    ranking = np.lexsort((np.arange(20_000), -scores.astype(np.float64)))
    members = window_members(scores, first, end, 1e-6, lambda positions: scores[positions].astype(np.float64))
    np.testing.assert_array_equal(members, np.sort(ranking[first:end]))


def test_minus_infinity_takes_no_part() -> None:
    scores = np.array([0.3, -np.inf, 0.1, 0.2], np.float32)
    assert window_members(scores, 0, 3, 1e-6, lambda positions: scores[positions]).tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("window", "images", "expected"),
    [
        ((1, 20), 100, (1, 20)),
        ((1, 20), 10, (1, 9)),
        ((1, 20), 2, None),
        ((0, 1), 2, (0, 1)),
        ((0, 1), 1, None),
        ((0.4, 0.8), 101, (40, 80)),
        ((0.4, 0.8), 2, (0, 1)),
        ((0.0, 1.0), 3, (0, 2)),
        ((10_000, 20_000), 9_000, None),
        ((0.4, 0.8), 1, None),
    ],
)
def test_windows(window: tuple[int, int] | tuple[float, float], images: int, expected: tuple[int, int] | None) -> None:
    actual = window_in_ranks(window, images)
    assert actual == (RankWindow(*expected, images - 1) if expected else None)


@given(st.integers(2, 3000), st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_windows_given_as_shares_tile_the_ranking(images: int, bounds: list[float]) -> None:
    edges = [0.0, *sorted(bounds), 1.0]
    windows = [window_in_ranks((low, high), images) for low, high in pairwise(edges)]
    ranks = [rank for window in windows if window for rank in range(window.first, window.end)]
    assert ranks == list(range(images - 1))
