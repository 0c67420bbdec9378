"""An index of somebody else's kind is named in the recipe and searched like the others."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from spn4cir_core.index.base import Index, VectorIndex
from spn4cir_core.index.image_index import best_images, build_index, measured_recall
from spn4cir_core.index.settings import IndexSettings


class Sorted:
    def __init__(self, vectors_VD: np.ndarray) -> None:
        self.vectors_VD = vectors_VD

    @property
    def ntotal(self) -> int:
        return len(self.vectors_VD)

    def search(self, queries_QD: np.ndarray, k: int, /) -> tuple[np.ndarray, np.ndarray]:
        scores = queries_QD @ self.vectors_VD.T
        rows = np.argsort(-scores, axis=1)[:, :k]
        return np.take_along_axis(scores, rows, 1), rows


class NumpyIndex(Index):
    plugin_kind: ClassVar[str] = "numpy"
    probed_share: float = 1.0

    def build(self, vectors_VD: np.ndarray, seed: int) -> VectorIndex:
        return Sorted(vectors_VD)

    def describe(self) -> str:
        return f"numpy over {self.probed_share:g}"

    def write(self, index: VectorIndex, path: Path) -> None:
        raise NotImplementedError

    def open(self, path: Path) -> VectorIndex:
        raise NotImplementedError


def test_a_kind_of_index_from_elsewhere_is_built_and_searched() -> None:
    settings = IndexSettings(flat_up_to=1, above=f"{__name__}:NumpyIndex", probed_share=0.25)
    vectors = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    index = build_index(vectors, settings, 0)
    assert isinstance(index, Sorted) and settings.index_for(50).describe() == "numpy over 0.25"
    assert best_images(index, vectors[7:8], 1, 1)[0][1] == int(np.argmax(vectors @ vectors[7]))
    assert measured_recall(index, vectors, vectors[:5], 1, 10) == 1


def test_an_unknown_kind_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ValidationError, match=r"unknown index 'hsnw'\. Did you mean 'hnsw'"):
        IndexSettings(above="hsnw")
