from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from spn4cir_core.evaluation.gallery_sizes import expected_recall, sizes_up_to


def by_drawing_every_gallery(rank: int, gallery: int, targets: int, size: int, k: int) -> float:
    """Share of all galleries with the targets and ``size − targets`` others in which fewer than k stand before."""
    others = range(gallery - targets)
    drawn = list(combinations(others, max(0, min(len(others), size - targets))))
    return sum(sum(row < rank for row in chosen) < k for chosen in drawn) / len(drawn)


@pytest.mark.parametrize("size", [1, 2, 4, 7, 9, 12])
def test_recall_equals_the_mean_over_all_galleries(size: int) -> None:
    cases = [(0, 9, 1), (3, 9, 1), (8, 9, 1), (5, 9, 3), (2, 6, 2), (0, 4, 4)]
    ranks, galleries, targets = (np.array(column) for column in zip(*cases, strict=True))
    recalls = expected_recall(ranks, galleries, targets, size, (1, 2, 5))
    for k, recall in zip((1, 2, 5), recalls, strict=True):
        expected = np.mean([by_drawing_every_gallery(*case, size, k) for case in cases])
        assert recall == pytest.approx(expected, abs=1e-12)


def test_a_query_of_weight_three_counts_as_three() -> None:
    ranks, galleries, targets = np.array([0, 3, 5, 3]), np.full(4, 9), np.ones(4, np.int64)
    times = np.array([3, 1, 2, 1])
    weighted = expected_recall(ranks, galleries, targets, 4, (1, 2), times.astype(np.float64))
    repeated = expected_recall(*(np.repeat(one, times) for one in (ranks, galleries, targets)), 4, (1, 2))
    assert weighted == pytest.approx(repeated)


def test_the_whole_gallery_gives_the_recall_itself() -> None:
    ranks = np.random.default_rng(0).integers(15_000, size=500)
    recalls = expected_recall(ranks, np.full(500, 15_536), np.ones(500, np.int64), 15_536, (1, 10, 50))
    assert recalls.tolist() == pytest.approx([np.mean(ranks < k) for k in (1, 10, 50)], abs=1e-6)


def test_a_larger_gallery_is_harder() -> None:
    ranks = np.random.default_rng(0).geometric(0.01, size=200)
    recalls = [expected_recall(ranks, np.full(200, 2000), np.ones(200), size, (10,))[0] for size in sizes_up_to(2000)]
    assert recalls == sorted(recalls, reverse=True)
    assert recalls[0] == pytest.approx(1.0)


def test_sizes() -> None:
    assert sizes_up_to(2297) == [10, 20, 50, 100, 200, 500, 1000, 2000, 2297]
    assert sizes_up_to(5) == [5]
    assert sizes_up_to(100) == [10, 20, 50, 100]
