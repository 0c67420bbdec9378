from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spn4cir_core.errors import InputError
from spn4cir_core.evaluation.ranks import TIE, Ties, best_ranks, middles, ranks_and_hits, ranks_of_scores, top_hits
from spn4cir_core.evaluation.score_blocks import BlockSize, Precision

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "float64")


def unit(rows: int, dim: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def slow_rank(scores: list[float], targets: list[int], removed: list[int]) -> int:
    """Sort everything, look where the first target stands."""
    order = sorted((row for row in range(len(scores)) if row not in removed), key=lambda row: -scores[row])
    return next(rank for rank, row in enumerate(order) if row in targets)


@pytest.mark.parametrize(("query_rows", "gallery_rows"), [(1024, 4096), (7, 5), (1, 1), (3, 200)])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("several", [False, True])
def test_rank_is_the_place_in_a_full_sort(
    query_rows: int, gallery_rows: int, precision: Precision, several: bool
) -> None:
    queries, gallery = unit(40, 16, 1), unit(97, 16, 2)
    random = np.random.default_rng(3)
    picks = [random.permutation(97).tolist() for _ in range(40)]
    targets = [pick[: 1 + several * (row % 4)] for row, pick in enumerate(picks)]
    removed = [pick[-1:] if row % 2 else [] for row, pick in enumerate(picks)]
    ranks = best_ranks(queries, gallery, targets, removed, BlockSize(query_rows, gallery_rows, precision))
    scores = (queries.astype(np.float64) @ gallery.astype(np.float64).T).tolist()
    assert ranks.tolist() == [slow_rank(scores[row], targets[row], removed[row]) for row in range(40)]
    assert ranks.dtype == np.int32


def test_perfect_and_worst_models() -> None:
    gallery = unit(30, 8, 5)
    assert best_ranks(gallery, gallery, [[row] for row in range(30)]).tolist() == [0] * 30
    assert best_ranks(-gallery, gallery, [[row] for row in range(30)]).tolist() == [29] * 30


def test_a_model_that_gives_every_image_one_score_gets_half_the_gallery() -> None:
    queries = np.ones((5, 4), np.float32) / 2
    gallery = np.ones((11, 4), np.float32) / 2
    targets = [[row] for row in range(5)]
    assert best_ranks(queries, gallery, targets, size=BlockSize(images=3)).tolist() == [5] * 5
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
    row_of = np.argsort(shuffled)
    straight = best_ranks(queries, gallery, [[row] for row in range(20)], size=BlockSize(images=16))
    moved = best_ranks(queries, gallery[shuffled], [[int(row_of[row])] for row in range(20)], size=BlockSize(images=16))
    assert straight.tolist() == moved.tolist()


def test_a_gallery_on_disk_gives_the_same_ranks(tmp_path: Path) -> None:
    queries, gallery = unit(10, 8, 1), unit(60, 8, 2)
    np.save(tmp_path / "gallery.npy", gallery)
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r", allow_pickle=False)
    targets = [[row] for row in range(10)]
    from_disk = best_ranks(queries, mapped, targets, size=BlockSize(images=7))
    assert from_disk.tolist() == best_ranks(queries, gallery, targets).tolist()


@pytest.mark.parametrize("targets", [[[]], [[0], [1]], [[2]]])
def test_a_query_without_target_is_an_error(targets: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="target"):
        best_ranks(unit(1, 4, 0), unit(3, 4, 1), targets, [[2]] * len(targets))


@pytest.mark.parametrize(("query_rows", "gallery_rows"), [(1024, 4096), (7, 5), (4, 30)])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_top_hits_are_the_head_of_a_full_sort(query_rows: int, gallery_rows: int, precision: Precision) -> None:
    queries, gallery = unit(12, 8, 1), unit(64, 8, 2)
    removed = [[row] if row % 3 else [] for row in range(12)]
    rows, scores = top_hits(queries, gallery, 9, removed, BlockSize(query_rows, gallery_rows, precision))
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


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_image_of_several_vectors_counts_by_its_best(precision: Precision) -> None:
    queries, tokens = unit(20, 8, 1), unit(60 * 3, 8, 2).reshape(60, 3, 8)
    targets, removed = [[row, row + 30] for row in range(20)], [[59 - row] for row in range(20)]
    ranks = best_ranks(queries, tokens, targets, removed, BlockSize(7, 13, precision))
    rows, scores = top_hits(queries, tokens, 5, removed, BlockSize(7, 13, precision))
    for query in range(20):
        slow = [max(float(queries[query] @ token) for token in image) for image in tokens]
        assert ranks[query] == slow_rank(slow, targets[query], removed[query])
        order = sorted((row for row in range(60) if row not in removed[query]), key=lambda row: -slow[row])
        assert rows[query].tolist() == order[:5]
        np.testing.assert_allclose(scores[query], [slow[row] for row in order[:5]], atol=1e-6)


def counted(scores: list[float], target: int) -> int:
    """A slow count: what is better by more than a tie, and half of the ties, rounded up."""
    others = [score - scores[target] for row, score in enumerate(scores) if row != target]
    ties = sum(abs(difference) <= TIE for difference in others)
    return sum(difference > TIE for difference in others) + (ties + 1) // 2


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("size", [(1024, 4096), (3, 50)])
def test_duplicates_and_scores_closer_than_any_fast_product_can_tell(
    precision: Precision, size: tuple[int, int]
) -> None:
    """Copies of targets, copies that are off by about a tie, and scores that differ by less than bfloat16 keeps."""
    random = np.random.default_rng(1)
    queries, gallery = unit(12, 40, 2), unit(300, 40, 3)
    targets = random.permutation(300)[:12]
    for row, target in enumerate(targets):
        for number, off in enumerate((0.0, 4e-7, -4e-7, 3e-6, -3e-6, 1e-4, -1e-4, 2e-3)):
            copy = (target + 1 + number) % 300
            gallery[copy] = gallery[target] + np.float32(off) * queries[row]
    exact = (queries.astype(np.float64) @ gallery.astype(np.float64).T).tolist()
    ranks = best_ranks(queries, gallery, [[int(target)] for target in targets], size=BlockSize(*size, precision))
    assert ranks.tolist() == [counted(exact[row], int(target)) for row, target in enumerate(targets)]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_model_without_any_opinion_is_ranked_without_ties_being_broken(precision: Precision) -> None:
    """All pairs lie between the limits: the products of all of them are taken at once."""
    gallery = np.repeat(unit(1, 24, 4), 90, axis=0)
    targets = [[row] for row in range(20)]
    size = BlockSize(7, 64, precision)
    assert best_ranks(unit(20, 24, 5), gallery, targets, size=size).tolist() == [45] * 20
    rows, _ = top_hits(unit(20, 24, 5), gallery, 6, size=size)
    assert rows.tolist() == [[0, 1, 2, 3, 4, 5]] * 20


def test_ranks_and_hits_from_one_pass_are_those_of_two() -> None:
    queries, gallery = unit(30, 16, 1), unit(70, 16, 2)
    targets, removed = [[row, row + 30] for row in range(30)], [[69 - row] for row in range(30)]
    ranks, rows, scores = ranks_and_hits(queries, gallery, targets, removed, 8)
    assert np.array_equal(ranks, best_ranks(queries, gallery, targets, removed))
    alone = top_hits(queries, gallery, 8, removed)
    assert np.array_equal(rows, alone[0]) and np.array_equal(scores, alone[1])


@pytest.mark.parametrize("side", ["queries", "gallery"])
def test_vectors_that_are_no_numbers_are_refused_not_ranked_first(side: str) -> None:
    vectors = {"queries": unit(3, 8, 1), "gallery": unit(9, 8, 2)}
    vectors[side][1, 2] = np.nan
    with pytest.raises(InputError, match="no finite number"):
        best_ranks(vectors["queries"], vectors["gallery"], [[0]] * 3)


def sorted_rank(scores: list[float], target: int) -> int:
    """Where a stable sort by descending score puts the target."""
    return sorted(range(len(scores)), key=lambda row: -scores[row]).index(target)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_published_ties_are_decided_by_any_difference_then_by_the_order_of_the_gallery(precision: Precision) -> None:
    random = np.random.default_rng(4)
    queries, gallery = unit(10, 24, 0), unit(80, 24, 1)
    for row in range(0, 80, 4):  # copies, and near-copies far below what counts as a tie
        gallery[row + 1] = gallery[row]
        gallery[row + 2] = gallery[row] * (1 + 2e-7)
    targets = random.integers(0, 80, 10)
    exact = queries.astype(np.float64) @ gallery.astype(np.float64).T
    wanted = [
        sorted_rank([float((q.astype(float) * g).sum()) for g in gallery], int(t))
        for q, t in zip(queries, targets, strict=True)
    ]
    ranks = best_ranks(
        queries, gallery, [[int(t)] for t in targets], size=BlockSize(4, 17, precision), ties="published"
    )
    assert ranks.tolist() == wanted
    scored, _, _ = ranks_of_scores(exact.astype(np.float32), [[int(t)] for t in targets], [[]] * 10, 3, "published")
    assert scored.tolist() == [
        sorted_rank(row.tolist(), int(t)) for row, t in zip(exact.astype(np.float32), targets, strict=True)
    ]


def test_a_tie_of_two_counts_half_over_many_queries() -> None:
    """Every gallery holds the target twice, so that the copy stands before it or not."""
    gallery = np.repeat(unit(1, 8, 0), 2, axis=0)
    queries = np.repeat(gallery[:1], 1000, axis=0)
    stand_before = middles([f"query {number}" for number in range(1000)])
    ranks = best_ranks(queries, gallery, [[0]] * 1000, middles_Q=stand_before)
    assert set(ranks.tolist()) == {0, 1} and 0.45 < ranks.mean() < 0.55
    scored, *_ = ranks_of_scores(np.ones((1000, 2)), [[0]] * 1000, [[]] * 1000, 1, "half", stand_before)
    assert scored.tolist() == ranks.tolist()


@pytest.mark.parametrize("ties", ["half", "published"])
def test_ranks_and_hits_of_scores_are_those_of_one_query_at_a_time(ties: Ties) -> None:
    random = np.random.default_rng(7)
    scores = random.integers(0, 6, (40, 25)).astype(np.float32)
    removed = [random.permutation(25)[: row % 4].tolist() for row in range(40)]
    scores[[row for row in range(40) if removed[row]], [gone[0] for gone in removed if gone]] = np.nan
    targets = [
        [row for row in random.permutation(25).tolist() if row not in removed[q]][: 1 + q % 3] for q in range(40)
    ]
    ranks, rows, best = ranks_of_scores(scores, targets, removed, 9, ties)
    for query in range(40):
        order = [row for row in np.argsort(-scores[query], kind="stable").tolist() if row not in removed[query]]
        assert rows[query].tolist() == order[:9] and best[query].tolist() == scores[query, order[:9]].tolist()
        target = min(targets[query], key=order.index)
        others = [row for row in order if row not in targets[query]]
        if ties == "published":
            assert ranks[query] == sum(order.index(row) < order.index(target) for row in others)
        else:
            difference = [scores[query, row] - scores[query, target] for row in others]
            assert ranks[query] == sum(d > 0 for d in difference) + (difference.count(0) + 1) // 2
    with pytest.raises(ValueError, match="1 with a target"):
        ranks_of_scores(scores[:2], [[1], [2]], [[], [2]], 3, ties)
