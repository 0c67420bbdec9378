import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spn4cir_core.negatives.look_alikes import (
    SAMPLE_ROWS,
    nearest_candidates,
    round_for_exact_products,
    rows_above,
    similarity_threshold,
    upper_fence,
)


def unit(rows: int, width: int = 16, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, width))
    return round_for_exact_products(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@given(st.integers(0, 5), st.integers(1, 40), st.floats(-0.9, 0.9), st.integers(1, 50))
def test_blocks_find_what_a_loop_finds(seed: int, rows: int, threshold: float, block: int) -> None:
    vectors = unit(rows, seed=seed)
    targets = vectors[::2]
    oracle = [
        [
            row
            for row, other in enumerate(vectors)
            if sum(map(float.__mul__, map(float, target), map(float, other))) > threshold
        ]
        for target in targets
    ]
    rows = rows_above(targets, vectors, threshold, block_rows=block)
    assert [part.tolist() for part in rows] == oracle


def test_products_are_exact_whatever_the_order_of_summation() -> None:
    vectors = unit(200, width=768)
    shuffled = np.random.default_rng(1).permutation(768)
    exact = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    assert np.array_equal(vectors @ vectors.T, exact)
    assert np.array_equal(vectors[:, shuffled] @ vectors[:, shuffled].T, exact)


def test_grid_moves_similarities_little() -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 512))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rounded = round_for_exact_products(vectors)
    assert np.abs(rounded @ rounded.T - vectors @ vectors.T).max() < 2e-3
    assert np.sqrt(np.mean((rounded @ rounded.T - vectors @ vectors.T) ** 2)) < 3e-4


def test_threshold_is_the_quantile_of_others() -> None:
    vectors = unit(60)
    similarities = vectors @ vectors.T
    others = sorted(similarities[~np.eye(60, dtype=bool)])
    assert similarity_threshold(vectors, vectors, 0.9) == pytest.approx(others[int(0.9 * (len(others) - 1))])


def test_threshold_of_a_sample_is_near_that_of_all() -> None:
    vectors = unit(3 * SAMPLE_ROWS, width=8)
    share = float(np.mean(vectors[:500] @ vectors.T > similarity_threshold(vectors, vectors, 0.99)))
    assert share == pytest.approx(0.01, rel=0.15)


def test_the_fence_is_the_whisker_of_a_box_plot() -> None:
    vectors = unit(60)
    others = sorted((vectors @ vectors.T)[~np.eye(60, dtype=bool)])
    low, high = others[int(0.25 * (len(others) - 1))], others[int(0.75 * (len(others) - 1))]
    assert upper_fence(vectors, vectors, 1.5) == pytest.approx(high + 1.5 * (high - low))
    assert upper_fence(vectors, vectors, 0) == pytest.approx(high)


def test_one_image_looks_like_nobody() -> None:
    assert similarity_threshold(unit(1), unit(1), 0.9) == float("inf")
    assert upper_fence(unit(1), unit(1), 1.5) == float("inf")


@given(st.integers(0, 5), st.integers(1, 30), st.integers(1, 8), st.integers(1, 9))
def test_nearest_candidates_are_the_first_of_the_ranking(seed: int, rows: int, count: int, block: int) -> None:
    vectors = np.concatenate([unit(rows, width=3, seed=seed), unit(3, width=3, seed=seed)])
    rows = nearest_candidates(vectors[:5], vectors, count, block_rows=block)
    for target, nearest in zip(vectors[:5], rows, strict=True):
        ranking = sorted(range(len(vectors)), key=lambda row, target=target: (-float(target @ vectors[row]), row))
        assert nearest.tolist() == ranking[:count]
