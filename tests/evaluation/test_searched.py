"""Recall through an index: of an exact one that of the exact evaluation, of another one counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from spn4cir_core.evaluation.answer_tables import searched_table
from spn4cir_core.evaluation.base import Query, QuerySet
from spn4cir_core.evaluation.measure import Answers
from spn4cir_core.evaluation.ranks import best_ranks
from spn4cir_core.evaluation.searched import searched_ranks
from spn4cir_core.index.image_index import ImageIndex

SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], np.float32)
"""Of the six images of a line, for a query along it."""


def unit(rows: int, dim: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    vectors: np.ndarray = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return vectors


def slow_index(gallery: np.ndarray, blind_to: Callable[[int], bool] = lambda row: False) -> ImageIndex:
    """Finds every image it is not blind to; of equal scores the last, which no rule here favours."""

    def best(queries_QD: np.ndarray, wanted: int) -> list[list[tuple[float, int]]]:
        rows = [row for row in range(len(gallery)) if not blind_to(row)]
        scores_QN = queries_QD @ gallery.T
        return [
            sorted(((float(scores[row]), row) for row in rows), key=lambda hit: (-hit[0], -hit[1]))[:wanted]
            for scores in scores_QN
        ]

    return ImageIndex("by hand", best)


def line() -> tuple[np.ndarray, np.ndarray]:
    return np.ones((1, 1), np.float32), SCORES[:, None]


def test_what_an_index_misses_is_lost_and_what_it_spares_is_won() -> None:
    query, gallery = line()
    misses_the_target = slow_index(gallery, lambda row: row == 1)
    assert best_ranks(query, gallery, [[1]]).tolist() == [1]
    assert searched_ranks(misses_the_target, query, gallery, [[1]], [[]], 2).tolist() == [6]
    assert searched_ranks(misses_the_target, query, gallery, [[1, 4]], [[]], 4).tolist() == [3]
    misses_what_is_better = slow_index(gallery, lambda row: row == 0)
    assert searched_ranks(misses_what_is_better, query, gallery, [[1]], [[]], 1).tolist() == [0]


def test_removed_images_take_no_place() -> None:
    query, gallery = line()
    index = slow_index(gallery)
    assert best_ranks(query, gallery, [[2]], [[0]]).tolist() == [1]
    assert searched_ranks(index, query, gallery, [[2]], [[0]], 2).tolist() == [1]
    assert searched_ranks(index, query, gallery, [[2]], [[]], 2).tolist() == [2]
    assert searched_ranks(index, query, gallery, [[0, 3]], [[0]], 3).tolist() == [2], "a removed target is none"


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("k", [1, 4, 30])
def test_an_index_that_misses_nothing_loses_nothing_ties_included(k: int, tokens: int) -> None:
    from spn4cir_core.index.image_index import index_of_gallery
    from spn4cir_core.index.settings import IndexSettings

    images = unit(60 * tokens, 8, 0).reshape(60, tokens, 8)
    gallery = np.concatenate([images, images[:30].repeat(4, axis=0)])  # half of them stand there five times
    gallery = gallery[:, 0] if tokens == 1 else gallery
    queries, random = unit(60, 8, 1), np.random.default_rng(2)
    order = np.argsort(-(gallery.reshape(len(gallery), tokens, 8) @ queries.T).max(axis=1), axis=0).T
    targets = [random.permutation(best[:40])[: 1 + number % 3].tolist() for number, best in enumerate(order)]
    drawn = [best[: number % 3].tolist() for number, best in enumerate(order)]
    removed = [[row for row in rows if row not in right] for rows, right in zip(drawn, targets, strict=True)]
    exact = best_ranks(queries, gallery, targets, removed) < k
    index = index_of_gallery(gallery, IndexSettings(), 0)
    assert index.says == "flat"
    assert np.array_equal(searched_ranks(index, queries, gallery, targets, removed, k) < k, exact)
    assert 0 < np.count_nonzero(exact) < 60


def test_a_model_that_gives_all_images_one_score_gets_no_credit_either() -> None:
    gallery = np.ones((50, 1), np.float32)
    ranks = searched_ranks(slow_index(gallery), gallery[:1], gallery, [[49]], [[]], 5)
    assert ranks.tolist() == best_ranks(gallery[:1], gallery, [[49]]).tolist() == [25]


@pytest.mark.parametrize(
    ("above", "says"), [("ivf", "looks into 0.02 of its cells"), ("hnsw", "2 links, 1 vectors wide")]
)
def test_loss_of_an_approximate_index_equals_a_hand_count(above: str, says: str) -> None:
    from spn4cir_core.index.image_index import best_images, build_index, index_of_gallery
    from spn4cir_core.index.settings import IndexSettings

    gallery, queries = unit(2000, 16, 0), unit(80, 16, 1)
    settings = IndexSettings.model_validate(
        {"flat_up_to": 1, "above": above, "probed_share": 0.02, "hnsw_links": 2, "hnsw_breadth": 1}
    )
    order = np.argsort(-(queries @ gallery.T), axis=1)
    removed, targets = [[int(row[0])] for row in order], [[int(row[1 + line % 9])] for line, row in enumerate(order)]
    index, same = index_of_gallery(gallery, settings, 0), build_index(gallery, settings, 0)
    assert says in index.says
    counted = exact = 0
    for query, (target,), (gone,) in zip(queries, targets, removed, strict=True):
        hits = [row for _, row in best_images(same, query[None], 7, 1) if row != gone]  # five, the removed and one more
        counted += target in hits[:5]
    exact = sum(1 for line in range(80) if line % 9 < 5)
    ranks = searched_ranks(index, queries, gallery, targets, removed, 5)
    assert np.count_nonzero(ranks < 5) == counted
    assert np.count_nonzero(best_ranks(queries, gallery, targets, removed) < 5) == exact
    assert 0 < counted < exact, "this index loses something, so that there is something to count"


def test_the_table_tells_both_and_their_difference() -> None:
    queries = tuple(Query(f"q{row}", "a", "x", ("b",)) for row in range(4))
    one = Answers(QuerySet("set", "", queries, ("a", "b"), True, True))
    one.ranks["stage2", "composed"], one.ranks["stage2", "image"] = np.array([0, 0, 1, 4]), np.zeros(4, np.int32)
    one.searched["stage2", 1], one.searched["stage2", 2] = np.array([0, 9, 9, 9]), np.array([0, 0, 9, 1])
    assert searched_table([one, replace(one, searched={})]).to_pylist() == [
        {"query_set": "set", "model": "stage2", "k": 1, "recall": 0.25, "exact_recall": 0.5, "difference": -0.25},
        {"query_set": "set", "model": "stage2", "k": 2, "recall": 0.75, "exact_recall": 0.75, "difference": 0.0},
    ]
