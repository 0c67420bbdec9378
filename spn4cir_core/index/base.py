"""The indexes that candidate vectors can be searched through: one member a kind."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Protocol

import numpy as np

from spn4cir_core.engine.plugins import Plugin, Room


class VectorIndex(Protocol):
    """V vectors that can be searched by inner product; FAISS's own indexes are such."""

    @property
    def ntotal(self) -> int:
        """V, the number of vectors."""

    @property
    def d(self) -> int:
        """D, the dimensions of a vector."""

    def search(self, queries_QD: np.ndarray, k: int, /) -> tuple[np.ndarray, np.ndarray]:
        """Scores (Q, k) float32, best first, and rows (Q, k) int64; a row is -1 where the index has no more."""


class Index(Plugin):
    """A kind of index. Its settings are those fields of :class:`IndexSettings` that it declares itself."""

    @abstractmethod
    def build(self, vectors_VD: np.ndarray, seed: int) -> VectorIndex:
        """An index that holds the V unit vectors; the same vectors and seed give the same index."""

    @abstractmethod
    def describe(self) -> str:
        """What it is, in a few words for the report."""

    @abstractmethod
    def write(self, index: VectorIndex, path: Path) -> None:
        """Write an index of this kind to one file."""

    @abstractmethod
    def open(self, path: Path) -> VectorIndex:
        """Open the file that :meth:`write` wrote.

        Raises:
            RuntimeError: the file is not an index.
        """


INDEXES = Room(
    "index",
    {
        "codes": "spn4cir_core.index.faiss_index:Codes",
        "flat": "spn4cir_core.index.faiss_index:Flat",
        "hnsw": "spn4cir_core.index.faiss_index:Hnsw",
        "ivf": "spn4cir_core.index.faiss_index:Ivf",
    },
)
