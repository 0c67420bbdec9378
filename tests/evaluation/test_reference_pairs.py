from __future__ import annotations

import numpy as np

from spn4cir_core.evaluation.base import Query
from spn4cir_core.evaluation.reference_pairs import ReferencePairs


def queries(*more: int) -> list[Query]:
    return [
        Query(f"q{number}", f"r{number}", "x", ("t",), more_reference_ids=tuple(f"m{number}{i}" for i in range(count)))
        for number, count in enumerate(more)
    ]


def test_one_reference_each_changes_no_bit() -> None:
    pairs = ReferencePairs.of(queries(0, 0, 0))
    vectors_PD = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    assert pairs.reference_ids == ("r0", "r1", "r2")
    assert np.array_equal(pairs.mean_vectors(vectors_PD), vectors_PD)
    assert pairs.rows_of([2, 0]).tolist() == [2, 0]


def test_means_equal_a_slow_loop() -> None:
    pairs = ReferencePairs.of(queries(0, 2, 1, 0))
    assert pairs.reference_ids == ("r0", "r1", "m10", "m11", "r2", "m20", "r3")
    assert pairs.query_P.tolist() == [0, 1, 1, 1, 2, 2, 3]
    vectors_PD = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
    vectors_PD /= np.linalg.norm(vectors_PD, axis=1, keepdims=True)
    means = [vectors_PD[rows].mean(axis=0) for rows in ([0], [1, 2, 3], [4, 5], [6])]
    assert np.allclose(pairs.mean(vectors_PD), means)
    assert np.allclose(pairs.mean_vectors(vectors_PD), [mean / np.linalg.norm(mean) for mean in means], atol=1e-6)
    assert np.array_equal(pairs.mean_vectors(vectors_PD)[[0, 3]], vectors_PD[[0, 6]])
    assert pairs.rows_of([2, 1]).tolist() == [4, 5, 1, 2, 3]
