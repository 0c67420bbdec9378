"""The indexes that candidate vectors can be searched through, and the tables that grow: one member a kind."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
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


@dataclass(frozen=True)
class MadeWith:
    """What the vectors of a table were made with; a search with anything else would compare two spaces."""

    encoder: str
    """Fingerprint of the target encoder: while it stays, rows of unchanged images stay."""
    checkpoint: str
    blend: str
    dim: int
    """D, the dimensions of a vector."""
    tokens: int = 1
    """T, the vectors of an image."""


@dataclass(frozen=True)
class ImageRow:
    """One image of a table."""

    image_id: str
    version: str
    """Hash of what the row says; an image with another one is replaced."""
    path: str
    caption: str
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Nearest:
    """One answer of a table: an image, and its score, the highest inner product of its T vectors with the query."""

    image_id: str
    path: str
    caption: str
    score: float


class VectorTable(ABC):
    """Vectors of images that can be searched, added and removed. N images, T vectors each, D dimensions."""

    @abstractmethod
    def made_with(self) -> MadeWith | None:
        """What its vectors were made with; None where there are none yet."""

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Image id → version of every image that it holds."""

    @abstractmethod
    def change(
        self, made_with: MadeWith, removed: Collection[str], added: Sequence[ImageRow], vectors_NTD: np.ndarray
    ) -> None:
        """Remove images and add others, all of it or nothing: whoever searches meanwhile sees the table as it was.

        Args:
            removed: image ids; one that is also added is replaced. All others are removed where ``made_with`` has
                another encoder than before.
            vectors_NTD: (N, T, D) float32 unit vectors of those added.
        """

    @abstractmethod
    def search(
        self, query_D: np.ndarray, count: int, where: Mapping[str, Collection[str]] = MappingProxyType({})
    ) -> list[Nearest]:
        """The best ``count`` images, best first; of every column of ``where`` they have one of the values."""


_PASSWORD = re.compile(r"(?<=:)(?<!://)[^:@/]+(?=@)|(?<=password=)[^ &]+")


class VectorTables(Plugin):
    """Settings of a place that keeps vector tables."""

    uri: str
    """Where it is, in the engine's own words."""

    @property
    def address(self) -> str:
        """``KIND:URI`` without a password."""
        return f"{self.plugin_kind}:{_PASSWORD.sub('***', self.uri)}"

    @abstractmethod
    def open(self, name: str) -> VectorTable:
        """The table of that name, of letters, digits and underscores; an empty one where there is none.

        Raises:
            InputError: the place cannot be reached, or the name is no such name.
            MissingExtra: its package is not installed.
        """


def tags_of(metadata: Mapping[str, str]) -> list[str]:
    """``column=value`` of each column: engines filter by lists of such texts, whatever columns an image has."""
    return sorted(f"{column}={value}" for column, value in metadata.items())


VECTOR_TABLES = Room(
    "vector table",
    {
        "faiss": "spn4cir_core.index.faiss_table:FaissTables",
        "lancedb": "spn4cir_core.index.lance_table:LanceTables",
        "pgvector": "spn4cir_core.index.postgres_table:PostgresTables",
    },
)


INDEXES = Room(
    "index",
    {
        "codes": "spn4cir_core.index.faiss_index:Codes",
        "flat": "spn4cir_core.index.faiss_index:Flat",
        "hnsw": "spn4cir_core.index.faiss_index:Hnsw",
        "ivf": "spn4cir_core.index.faiss_index:Ivf",
    },
)
