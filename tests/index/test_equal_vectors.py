"""Equal and nearly equal vectors: found as groups, harmless in a graph, and in one order wherever they tie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spn4cir_core.index.base import INDEXES
from spn4cir_core.index.equal_vectors import groups_of_equals
from spn4cir_core.index.image_index import best_images, best_images_of_each, build_index, measured_recall
from spn4cir_core.index.settings import IndexSettings

KINDS = {"flat": {}, "ivf": {"flat_up_to": 1, "probed_share": 1.0}, "hnsw": {"flat_up_to": 1, "above": "hnsw"}}


def unit(rows: int, dim: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def placeholders_first(count: int, noise: float) -> np.ndarray:
    """``count`` vectors that differ from one by about ``noise``, and 3,000 others."""
    vectors = unit(count + 3000, 32, 0)
    vectors[:count] = vectors[0] + noise / np.sqrt(32) * unit(count, 32, 1) * np.sqrt(32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("noise", [0.0, 0.005])
def test_equal_and_nearly_equal_vectors_are_few_groups(noise: float) -> None:
    vectors = placeholders_first(300, noise)
    groups = groups_of_equals(vectors, 9)
    rows = np.concatenate(groups)
    assert len(groups) <= 6 and len(set(rows)) == len(rows)
    assert rows.max() < 300 and len(rows) > 250
    for group in groups:
        assert np.linalg.norm(vectors[group] - vectors[group[0]], axis=1).max() <= 0.02


def test_different_vectors_are_no_group() -> None:
    assert groups_of_equals(unit(3000, 32, 0), 2) == []


@pytest.mark.parametrize("noise", [0.0, 0.001])
def test_a_thousand_placeholders_hide_no_other_vector_of_a_graph(noise: float, tmp_path: Path) -> None:
    vectors = placeholders_first(1000, noise)
    settings = IndexSettings(flat_up_to=1, above="hnsw")
    index = build_index(vectors, settings, 0)
    others = range(1000, 4000)
    hits = best_images_of_each(index, vectors[1000:], 1, 1)
    assert np.mean([hit[0][1] == row for hit, row in zip(hits, others, strict=True)]) > 0.995
    assert index.ntotal == 4000
    equals = best_images(index, vectors[:1], 1200, 1)
    assert {row for _, row in equals[:1000]} == set(range(1000)), "all of them are there, and the nearest"
    member = INDEXES.build("hnsw")
    member.write(index, tmp_path / "index.faiss")
    opened = member.open(tmp_path / "index.faiss")
    assert best_images_of_each(opened, vectors[1000:1050], 7, 1) == best_images_of_each(index, vectors[1000:1050], 7, 1)
    assert measured_recall(index, vectors, vectors[1000:1100], 1, 10) > 0.98


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_of_one_is_the_first_of_ten_in_every_batch(kind: str) -> None:
    images = unit(300, 32, 0)
    vectors = np.concatenate([images, images[::-1], images])  # each of them three times: rows r, 599 - r, 600 + r
    index, queries = (
        build_index(vectors, IndexSettings.model_validate(KINDS[kind]), 0),
        images + 0.05 * unit(300, 32, 1),
    )
    many = best_images_of_each(index, queries, 10, 1)
    for query in range(0, 300, 13):
        assert [row for _, row in many[query][:3]] == [query, 599 - query, 600 + query]
        for wanted in (1, 2, 4):
            assert best_images(index, queries[query : query + 1], wanted, 1) == many[query][:wanted]
            assert best_images_of_each(index, queries[query : query + 5], wanted, 1)[0] == many[query][:wanted]


@pytest.mark.parametrize("kind", KINDS)
def test_of_many_equal_images_the_first_are_shown(kind: str) -> None:
    vectors = np.concatenate([unit(500, 32, 0), np.repeat(unit(1, 32, 9), 400, axis=0)])
    index = build_index(vectors, IndexSettings.model_validate(KINDS[kind]), 0)
    for wanted in (1, 10):
        rows = [row for _, row in best_images(index, vectors[-1:], wanted, 1)]
        assert rows == list(range(500, 500 + wanted))
