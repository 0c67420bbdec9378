from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from spn4cir_core.errors import InputError
from spn4cir_core.splits import near_duplicates
from spn4cir_core.splits.components import components
from spn4cir_core.splits.near_duplicates import (
    CANDIDATES_PER_IMAGE,
    candidate_cosine,
    embedding_links,
    phash_links,
)


def hashes(seed: int, count: int) -> np.ndarray:
    """Random hashes, followed by copies of each with a few bits flipped."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2**64, count, dtype=np.uint64)
    flipped = values.copy()
    for index in range(count):
        for bit in rng.choice(64, rng.integers(0, 10), replace=False):
            flipped[index] ^= np.uint64(1 << int(bit))
    return np.concatenate([values, flipped, values[: count // 4]])


@pytest.mark.parametrize("bits", range(9))
def test_hash_links_find_what_comparing_all_pairs_finds(bits: int) -> None:
    values = hashes(bits, 40)
    pairs, similarity = phash_links(values, bits)
    near = {
        (a, b) for a, b in combinations(range(len(values)), 2) if (int(values[a]) ^ int(values[b])).bit_count() <= bits
    }
    assert set(map(tuple, pairs.tolist())) <= near
    oracle = components(len(values), np.array(sorted(near)).reshape(-1, 2))
    np.testing.assert_array_equal(components(len(values), pairs), oracle)
    for (a, b), value in zip(pairs.tolist(), similarity.tolist(), strict=True):
        assert value == pytest.approx(1 - (int(values[a]) ^ int(values[b])).bit_count() / 64)
    assert pairs.tolist() == sorted(pairs.tolist())


def test_many_equal_hashes_are_chained_not_joined_all_with_all() -> None:
    pairs, _ = phash_links(np.full(5000, 0xF0F0F0F0F0F0F0F0, np.uint64), 4)
    assert len(pairs) == 4999


def test_hashes_of_flat_pictures_say_nothing() -> None:
    pairs, _ = phash_links(np.array([1 << 63, 1 << 63, 0, 7], np.uint64), 8)
    assert len(pairs) == 0


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_compare(count: int) -> None:
    assert phash_links(np.full(count, 0xF0F0F0F0F0F0F0F0, np.uint64), 4)[0].shape == (0, 2)
    assert embedding_links(np.ones((count, 4), np.float32), 0.9)[0].shape == (0, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("cosine", [0.7, 0.95, 1.0])
def test_embedding_links_find_what_comparing_all_pairs_finds(
    cosine: float, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_duplicates, "BLOCK_ROWS", 7)
    rng = np.random.default_rng(0)
    base = rng.normal(size=(50, 6))
    vectors = np.concatenate([base, base + 0.1 * rng.normal(size=base.shape), base[:9]])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(dtype)
    exact = vectors.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    want = [
        (a, b, float(exact[a] @ exact[b]))
        for a, b in combinations(range(len(exact)), 2)
        if exact[a] @ exact[b] >= cosine - 1e-9
    ]
    pairs, values = embedding_links(vectors, cosine)
    assert [tuple(pair) for pair in pairs.tolist()] == [(a, b) for a, b, _ in want]
    np.testing.assert_allclose(values, [value for _, _, value in want], atol=1e-6)
    assert len(pairs) >= 9


def test_a_threshold_that_links_everything_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "MOST_LINKS", 100)
    with pytest.raises(InputError, match=r"near_duplicate_cosine = 0\.5"):
        embedding_links(np.ones((40, 3), np.float32) / np.sqrt(3), 0.5)


@pytest.mark.parametrize(("wanted", "strictest"), [(0.9, 0.95), (0.2, 0.9), (0.0, 0.1), (0.5, 0.4)])
def test_the_cosine_of_candidates_is_the_mean_of_each_sampled_rows_own(wanted: float, strictest: float) -> None:
    rng = np.random.default_rng(5)
    vectors_ND = rng.normal(size=(700, 24)).astype(np.float32) + 0.3
    vectors_ND /= np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    rows = np.unique(np.linspace(0, 699, 512).astype(int))
    nth = [np.sort(vectors_ND @ vectors_ND[row])[::-1][CANDIDATES_PER_IMAGE] for row in rows]
    right = min(max(float(np.mean(nth)), wanted), max(wanted, strictest))
    assert candidate_cosine(vectors_ND, wanted, strictest) == pytest.approx(right, abs=1e-6)
    assert 0.2 < np.mean(nth) < 0.9, "all three cases are met"
