from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from spn4cir_core.captions.readings import READINGS_FILE, Readings, readings_table
from spn4cir_core.store.artifacts import Store
from tests.measured_store import write

READ = {
    "a.png": [("a red jersey", 0.75), ("a red cardigan", 0.25)],
    "b.png": [("a red cardigan", 1.0)],
}
VECTORS = {"a red jersey": [1.0, 0.0], "a red cardigan": [0.0, 1.0]}


@pytest.fixture
def readings(tmp_path: Path) -> Readings:
    store = Store(tmp_path)
    write(store, "captions", {READINGS_FILE: readings_table(READ)})
    artifact = store.current("measured", "captions")
    assert artifact is not None
    read = Readings.read(artifact)
    assert read is not None
    return read


def test_the_vector_is_the_mean_of_the_readings_by_probability(readings: Readings) -> None:
    vectors = readings.mean_vectors(
        ["b.png", "a.png", "b.png"], lambda texts: np.array([VECTORS[text] for text in texts])
    )
    expected = np.array([[0, 1], [0.75, 0.25], [0, 1]])
    np.testing.assert_allclose(vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-6)


def test_readings_are_drawn_as_often_as_they_are_likely(readings: Readings) -> None:
    random = np.random.default_rng(0)
    counts = Counter(readings.drawn("a.png", random) for _ in range(2000))
    assert set(counts) == set(VECTORS) and counts["a red jersey"] / 2000 == pytest.approx(0.75, abs=0.05)
    assert readings.drawn("b.png", random) == "a red cardigan"
    assert readings.drawn("c.png", random) is None


def test_a_captioner_that_is_sure_leaves_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, "captions", {"captions.parquet": readings_table({})})
    artifact = store.current("measured", "captions")
    assert artifact is not None and Readings.read(artifact) is None
