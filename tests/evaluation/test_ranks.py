from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spn4cir_core.evaluation.ranks import best_ranks, top_hits


def unit(rows: int, dim: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def slow_rank(scores: list[float], targets: list[int], removed: list[int]) -> int:
    """Sort everything, look where the first target stands."""
    order = sorted((row for row in range(len(scores)) if row not in removed), key=lambda row: -scores[row])
    return next(place for place, row in enumerate(order) if row in targets)


@pytest.mark.parametrize(("query_rows", "gallery_rows"), [(1024, 4096), (7, 5), (1, 1), (3, 200)])
@pytest.mark.parametrize("several", [False, True])
def test_rank_is_the_place_in_a_full_sort(query_rows: int, gallery_rows: int, several: bool) -> None:
    queries, gallery = unit(40, 16, 1), unit(97, 16, 2)
    random = np.random.default_rng(3)
    picks = [random.permutation(97).tolist() for _ in range(40)]
    targets = [pick[: 1 + several * (row % 4)] for row, pick in enumerate(picks)]
    removed = [pick[-1:] if row % 2 else [] for row, pick in enumerate(picks)]
    found = best_ranks(queries, gallery, targets, removed, query_rows=query_rows, gallery_rows=gallery_rows)
    scores = (queries.astype(np.float64) @ gallery.astype(np.float64).T).tolist()
    assert found.tolist() == [slow_rank(scores[row], targets[row], removed[row]) for row in range(40)]
    assert found.dtype == np.int32


def test_perfect_and_worst_models() -> None:
    gallery = unit(30, 8, 5)
    assert best_ranks(gallery, gallery, [[row] for row in range(30)]).tolist() == [0] * 30
    assert best_ranks(-gallery, gallery, [[row] for row in range(30)]).tolist() == [29] * 30


def test_a_model_that_gives_every_image_one_score_gets_half_the_gallery() -> None:
    queries = np.ones((5, 4), np.float32) / 2
    gallery = np.ones((11, 4), np.float32) / 2
    targets = [[row] for row in range(5)]
    assert best_ranks(queries, gallery, targets, gallery_rows=3).tolist() == [5] * 5
    removed = [[10]] * 5
    assert best_ranks(queries, gallery, targets, removed).tolist() == [5] * 5  # 9 ties: 4.5, rounded up
    assert best_ranks(queries, gallery[:2], [[0]] * 5).tolist() == [1] * 5


def test_ties_among_targets_cost_nothing() -> None:
    queries = np.array([[1.0, 0.0]], np.float32)
    gallery = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
    assert best_ranks(queries, gallery, [[0, 1]]).tolist() == [0]
    assert best_ranks(queries, gallery, [[0]]).tolist() == [1]


def test_removing_the_reference_moves_the_target_up_by_one() -> None:
    queries = np.array([[1.0, 0.0]], np.float32)
    gallery = np.array([[1.0, 0.0], [0.8, 0.6]], np.float32)
    assert best_ranks(queries, gallery, [[1]]).tolist() == [1]
    assert best_ranks(queries, gallery, [[1]], [[0]]).tolist() == [0]


def test_order_of_the_gallery_does_not_matter() -> None:
    queries, gallery = unit(20, 8, 7), unit(50, 8, 8)
    gallery[25:] = gallery[:25]
    shuffled = np.random.default_rng(9).permutation(50)
    place = np.argsort(shuffled)
    straight = best_ranks(queries, gallery, [[row] for row in range(20)], gallery_rows=16)
    moved = best_ranks(queries, gallery[shuffled], [[int(place[row])] for row in range(20)], gallery_rows=16)
    assert straight.tolist() == moved.tolist()


def test_a_gallery_on_disk_gives_the_same_ranks(tmp_path: Path) -> None:
    queries, gallery = unit(10, 8, 1), unit(60, 8, 2)
    np.save(tmp_path / "gallery.npy", gallery)
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r", allow_pickle=False)
    targets = [[row] for row in range(10)]
    assert (
        best_ranks(queries, mapped, targets, gallery_rows=7).tolist() == best_ranks(queries, gallery, targets).tolist()
    )


@pytest.mark.parametrize("targets", [[[]], [[0], [1]], [[2]]])
def test_a_query_without_target_is_an_error(targets: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="target"):
        best_ranks(unit(1, 4, 0), unit(3, 4, 1), targets, [[2]] * len(targets))


@pytest.mark.parametrize(("query_rows", "gallery_rows"), [(1024, 4096), (7, 5), (4, 30)])
def test_top_hits_are_the_head_of_a_full_sort(query_rows: int, gallery_rows: int) -> None:
    queries, gallery = unit(12, 8, 1), unit(64, 8, 2)
    removed = [[row] if row % 3 else [] for row in range(12)]
    rows, scores = top_hits(queries, gallery, 9, removed, query_rows=query_rows, gallery_rows=gallery_rows)
    every = queries @ gallery.T
    for row, gone in enumerate(removed):
        every[row, gone] = -np.inf
    expected = np.argsort(-every, axis=1, kind="stable")[:, :9]
    assert rows.tolist() == expected.tolist()
    assert np.allclose(scores, np.take_along_axis(every, expected, 1), atol=1e-6)


def test_top_hits_of_a_small_gallery_end_with_the_removed_image() -> None:
    rows, scores = top_hits(unit(1, 4, 1), unit(3, 4, 2), 10, [[1]])
    assert rows.shape == (1, 3)
    assert rows[0, -1] == 1
    assert scores[0, -1] == -np.inf


def test_an_image_of_several_vectors_counts_by_its_best() -> None:
    queries, tokens = unit(20, 8, 1), unit(60 * 3, 8, 2).reshape(60, 3, 8)
    targets, removed = [[row, row + 30] for row in range(20)], [[59 - row] for row in range(20)]
    ranks = best_ranks(queries, tokens, targets, removed, query_rows=7, gallery_rows=13)
    rows, scores = top_hits(queries, tokens, 5, removed, query_rows=7, gallery_rows=13)
    for query in range(20):
        slow = [max(float(queries[query] @ token) for token in image) for image in tokens]
        assert ranks[query] == slow_rank(slow, targets[query], removed[query])
        order = sorted((row for row in range(60) if row not in removed[query]), key=lambda row: -slow[row])
        assert rows[query].tolist() == order[:5]
        np.testing.assert_allclose(scores[query], [slow[row] for row in order[:5]], atol=1e-6)
