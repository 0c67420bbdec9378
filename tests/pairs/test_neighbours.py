from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from spn4cir_core.pairs.allowed import Allowed
from spn4cir_core.pairs.exact import mine_exact
from spn4cir_core.pairs.neighbours import mine_neighbours
from spn4cir_core.pairs.picks import Vectors
from spn4cir_core.pairs.rank_window import RankWindow
from tests.pairs.conftest import clustered

Free = Callable[[int], Allowed]
Keys = Callable[[int], np.ndarray]


@pytest.mark.parametrize("window", [(0, 1), (1, 20), (30, 60), (250, 299)])
def test_picks_are_those_of_the_exact_mode(window: tuple[int, int], free: Free, keys: Keys) -> None:
    vectors, ranks = clustered(300, 16), RankWindow(*window, 299)
    rows = np.arange(300)
    exact = mine_exact(Vectors(vectors), ranks, rows, keys(300), 3, free(300))
    picks, details = mine_neighbours(Vectors(vectors), ranks, rows, keys(300), 3, free(300), block_rows=64)
    assert details == {"index": "flat"}
    for name in ("reference", "target", "rank", "score"):
        np.testing.assert_array_equal(getattr(exact, name), getattr(picks, name))


def test_lists_that_end_amid_equal_scores_are_ranked_in_full(free: Free, keys: Keys) -> None:
    vectors = np.tile(np.array([[0.6, 0.8]], np.float32), (100, 1))
    rows, ranks = np.arange(100), RankWindow(1, 20, 99)
    exact = mine_exact(Vectors(vectors), ranks, rows, keys(100), 1, free(100))
    picks, _ = mine_neighbours(Vectors(vectors), ranks, rows, keys(100), 1, free(100))
    np.testing.assert_array_equal(exact.target, picks.target)
    np.testing.assert_array_equal(exact.rank, picks.rank)


def test_ranks_among_an_inverted_file_s_neighbours_lie_in_the_window(free: Free, keys: Keys) -> None:
    vectors = clustered(3000, 16)
    picks, details = mine_neighbours(
        Vectors(vectors), RankWindow(1, 20, 2999), np.arange(3000), keys(3000), 1, free(3000), flat_up_to=1000
    )
    assert details["index"] == "ivf"
    assert len(picks.reference) > 2900
    assert ((picks.rank >= 1) & (picks.rank < 20)).all()
