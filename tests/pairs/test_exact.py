from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from spn4cir_core.pairs.allowed import REFUSALS, Allowed
from spn4cir_core.pairs.exact import mine_exact
from spn4cir_core.pairs.picks import Picks, Vectors
from spn4cir_core.pairs.rank_window import RankWindow, window_in_ranks
from tests.pairs.conftest import clustered, slow_ranking

Free = Callable[[int], Allowed]
Keys = Callable[[int], np.ndarray]


def mined(vectors: np.ndarray, window: tuple[int, int], allowed: Allowed, keys: Keys, per_reference: int = 1) -> Picks:
    ranks = window_in_ranks(window, len(vectors))
    assert ranks is not None
    rows = np.arange(len(vectors))
    return mine_exact(Vectors(vectors), ranks, rows, keys(len(vectors)), per_reference, allowed)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("window", [(0, 1), (1, 20), (50, 150), (190, 199)])
def test_ranks_are_those_of_a_full_sort(window: tuple[int, int], dtype: str, free: Free, keys: Keys) -> None:
    vectors = clustered(200, 24, dtype=dtype)
    picks = mined(vectors, window, free(200), keys, 3)
    assert len(picks.reference) == 200 * min(3, window[1] - window[0])
    for reference, target, rank, score in zip(picks.reference, picks.target, picks.rank, picks.score, strict=True):
        assert window[0] <= rank < window[1]
        assert slow_ranking(vectors, reference)[rank] == target
        assert score == pytest.approx(float(vectors[reference].astype(float) @ vectors[target].astype(float)))
    assert len(set(zip(picks.reference.tolist(), picks.target.tolist(), strict=True))) == len(picks.reference)


def test_the_draw_is_uniform_over_the_window(free: Free, keys: Keys) -> None:
    ranks = Counter(mined(clustered(2000, 8), (5, 15), free(2000), keys).rank.tolist())
    assert sorted(ranks) == list(range(5, 15))
    assert all(140 < count < 260 for count in ranks.values())


def test_equal_vectors_rank_by_row(free: Free, keys: Keys) -> None:
    vectors = np.tile(np.array([[0.6, 0.8]], np.float32), (30, 1))
    picks = mined(vectors, (3, 9), free(30), keys)
    for reference, target, rank in zip(picks.reference, picks.target, picks.rank, strict=True):
        assert [row for row in range(30) if row != reference][rank] == target


def test_block_size_and_threads_change_nothing(free: Free, keys: Keys) -> None:
    vectors = clustered(700, 96)
    window = RankWindow(200, 500, 699)
    picks = []
    for block_bytes, threads in [(1, 1), (700 * 4 * 13, 1), (2**26, 1), (2**26, 2)]:
        with threadpool_limits(threads):
            picks.append(
                mine_exact(Vectors(vectors), window, np.arange(700), keys(700), 2, free(700), block_bytes=block_bytes)
            )
    for other in picks[1:]:
        for name in ("reference", "target", "rank", "score"):
            np.testing.assert_array_equal(getattr(picks[0], name), getattr(other, name))


def test_a_subset_of_the_rows_is_a_corpus_of_its_own(free: Free, keys: Keys) -> None:
    vectors, rows = clustered(300, 16), np.arange(0, 300, 3)
    window = RankWindow(2, 30, 99)
    part = mine_exact(Vectors(vectors, rows), window, np.arange(100), keys(100), 1, free(100))
    alone = mine_exact(Vectors(vectors[rows]), window, np.arange(100), keys(100), 1, free(100))
    np.testing.assert_array_equal(part.target, alone.target)


def test_constraints_hold_and_are_counted(keys: Keys) -> None:
    vectors = clustered(120, 6)
    rng = np.random.default_rng(1)
    category, component = rng.integers(0, 3, 120), rng.integers(-1, 12, 120)
    annotated = np.unique(rng.integers(0, 120 * 120, 4000))
    allowed = Allowed(0.8, component, annotated, category)
    picks = mined(vectors, (0, 60), allowed, keys, 4)
    assert len(picks.reference) > 100
    assert (picks.score < 0.8).all()
    assert (category[picks.reference] == category[picks.target]).all()
    same = (component[picks.reference] == component[picks.target]) & (component[picks.reference] >= 0)
    assert not same.any()
    assert not np.isin(picks.reference.astype(np.int64) * 120 + picks.target, annotated).any()
    assert set(allowed.refused) == set(REFUSALS.values())


def test_what_is_picked_is_all_that_is_allowed_when_more_is_asked(keys: Keys) -> None:
    vectors = clustered(40, 6)
    annotated = np.unique(np.random.default_rng(1).integers(0, 1600, 600))
    picks = mined(vectors, (3, 11), Allowed(2.0, np.full(40, -1), annotated, np.zeros(40, np.int64)), keys, 100)
    wanted = {
        (row, target)
        for row in range(40)
        for target in slow_ranking(vectors, row)[3:11]
        if row * 40 + target not in set(annotated.tolist())
    }
    assert set(zip(picks.reference.tolist(), picks.target.tolist(), strict=True)) == wanted


def test_a_drawn_pair_survives_a_new_corpus_order(free: Free) -> None:
    from spn4cir_core.pairs.draws import id_keys

    vectors, names = clustered(80, 8), [f"{row}" for row in range(80)]
    vectors[40:48] += np.float32(0.01)  # no equal rows here: ties rank by row
    order = np.random.default_rng(0).permutation(80)
    window = RankWindow(0, 1, 79)
    first = mine_exact(Vectors(vectors), window, np.arange(80), id_keys(names, 0), 1, free(80))
    names_2 = [names[row] for row in order]
    second = mine_exact(Vectors(vectors[order]), window, np.arange(80), id_keys(names_2, 0), 1, free(80))
    pairs = {(names[a], names[b]) for a, b in zip(first.reference, first.target, strict=True)}
    assert pairs == {(names_2[a], names_2[b]) for a, b in zip(second.reference, second.target, strict=True)}
