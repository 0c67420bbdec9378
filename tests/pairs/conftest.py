from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from spn4cir_core.pairs.allowed import Allowed
from spn4cir_core.pairs.draws import id_keys


def clustered(rows: int, dimensions: int, seed: int = 0, dtype: str = "float32") -> np.ndarray:
    """Unit vectors in a few clusters, with some rows twice (equal scores)."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(max(2, rows // 50), dimensions))[rng.integers(0, max(2, rows // 50), rows)]
    vectors = vectors + 1.5 * rng.normal(size=vectors.shape)
    vectors[rows // 2 : rows // 2 + rows // 10] = vectors[: rows // 10]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(dtype)


def slow_ranking(vectors: np.ndarray, row: int) -> list[int]:
    """All other rows from the most similar to the least, equal ones by row number."""
    left = vectors[row].astype(np.float64)
    scores = [float((vectors[other].astype(np.float64) * left).sum()) for other in range(len(vectors))]
    return sorted((other for other in range(len(vectors)) if other != row), key=lambda other: (-scores[other], other))


@pytest.fixture
def free() -> Callable[[int], Allowed]:
    """Constraints that forbid nothing."""
    return lambda rows: Allowed(2.0, np.full(rows, -1), np.zeros(0, np.int64), np.zeros(rows, np.int64))


@pytest.fixture
def keys() -> Callable[[int], np.ndarray]:
    return lambda rows: id_keys([f"corpus/{row}.png" for row in range(rows)], 0)
