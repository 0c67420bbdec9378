"""Vectors that lie in shards, read and searched as if they lay in one file, in the order of the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spn4cir_core.errors import StoreError
from spn4cir_core.index.base import VectorIndex
from spn4cir_core.index.faiss_index import exhaustive
from spn4cir_core.index.shard_layout import KEY_BYTES
from spn4cir_core.index.vector_shards import ShardList, gathered, open_array, open_index, rows_file
from spn4cir_core.store.artifacts import Artifact


class EveryVector:
    """V vectors that are memory-mapped, each of which a search compares."""

    def __init__(self, vectors_VD: np.ndarray) -> None:
        self.vectors_VD = vectors_VD

    @property
    def ntotal(self) -> int:
        """V, the number of vectors."""
        return len(self.vectors_VD)

    @property
    def d(self) -> int:
        """D, the dimensions of a vector."""
        return int(self.vectors_VD.shape[1])

    def search(self, queries_QD: np.ndarray, k: int, /) -> tuple[np.ndarray, np.ndarray]:
        """See :meth:`VectorIndex.search`."""
        import faiss

        scores_QK, rows_QK = faiss.knn(queries_QD, self.vectors_VD, k, metric=faiss.METRIC_INNER_PRODUCT)
        return scores_QK, rows_QK


@dataclass(frozen=True)
class ShardedVectors:
    """(N, D) or (N, T, D) vectors of N images, of which only the rows asked for are read."""

    artifact: Artifact
    listed: ShardList
    parts: Sequence[np.ndarray]
    """(R, D) or (R, T, D) of each shard, memory-mapped."""
    shard_N: np.ndarray
    row_N: np.ndarray

    @classmethod
    def open(cls, artifact: Artifact, name: str, listed: ShardList) -> ShardedVectors:
        """Those of one name of an artefact.

        Raises:
            StoreError: a file is missing or damaged, or they do not belong together.
        """
        parts = [open_array(artifact, shard.file()) for shard in listed.shards]
        where_N2 = open_array(artifact, rows_file(name))
        shard_N, row_N = np.asarray(where_N2[:, 0], np.int64), np.asarray(where_N2[:, 1], np.int64)
        rows = np.array([len(part) for part in parts])
        if not len(parts) or shard_N.max(initial=0) >= len(parts) or (row_N >= rows[shard_N]).any():
            raise StoreError(f"the parts of {artifact.path} do not belong together. Delete it and run again.")
        return cls(artifact, listed, parts, shard_N, row_N)

    def __len__(self) -> int:
        return len(self.row_N)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, D) or (N, T, D)."""
        return (len(self), *self.parts[0].shape[1:])

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return len(self.shape)

    @property
    def tokens(self) -> int:
        """T, the vectors of an image."""
        return 1 if self.ndim == 2 else self.shape[1]

    def __getitem__(self, rows: int | np.ndarray) -> np.ndarray:
        """Vectors of one image, or of K images in that order."""
        rows_K = np.atleast_1d(np.asarray(rows))
        vectors = gathered(self.parts, self.shard_N[rows_K], self.row_N[rows_K])
        return vectors if np.ndim(rows) else vectors[0]

    def keys(self) -> np.ndarray:
        """(N,) bytes: of each image what its vectors are made of."""
        key_N = np.empty(len(self), f"S{KEY_BYTES}")
        for number, shard in enumerate(self.listed.shards):
            here = np.flatnonzero(self.shard_N == number)
            key_N[here] = open_array(self.artifact, shard.file("keys.npy"))[self.row_N[here]]
        return key_N

    def whole(self) -> np.ndarray:
        """All of them in the order of the images: memory-mapped where one shard has them so, else in memory."""
        if len(self.parts) == 1 and np.array_equal(self.row_N, np.arange(len(self.parts[0]))):
            return self.parts[0]
        return self[np.arange(len(self))]

    def index(self, of: str) -> ShardedIndex:
        """An index over all shards, by each shard's own index that is for this."""
        flat = [part.reshape(-1, part.shape[-1]) for part in self.parts]
        indexes = [
            open_index(self.artifact, shard, of) or EveryVector(vectors_VD)
            for shard, vectors_VD in zip(self.listed.shards, flat, strict=True)
        ]
        return ShardedIndex(self, indexes)


@dataclass(frozen=True)
class ShardedIndex:
    """Searches each shard and merges: rows are those of the images' order, T vectors of an image behind one another."""

    vectors: ShardedVectors
    indexes: Sequence[VectorIndex]

    @property
    def ntotal(self) -> int:
        """V = N · T."""
        return len(self.vectors) * self.vectors.tokens

    @property
    def d(self) -> int:
        """D, the dimensions of a vector."""
        return int(self.vectors.shape[-1])

    @cached_property
    def _image_of(self) -> list[np.ndarray]:
        """Of each shard (R,) the image of each row; -1 where it is gone."""
        images = [np.full(len(part), -1, np.int64) for part in self.vectors.parts]
        for number, image_R in enumerate(images):
            here = np.flatnonzero(self.vectors.shard_N == number)
            image_R[self.vectors.row_N[here]] = here
        return images

    def search(self, queries_QD: np.ndarray, k: int, /) -> tuple[np.ndarray, np.ndarray]:
        """See :meth:`VectorIndex.search`; so many more are taken of a shard as it has rows of images that are gone."""
        tokens, scores, rows = self.vectors.tokens, [], []
        for index, image_R in zip(self.indexes, self._image_of, strict=True):
            taken = min(index.ntotal, k + int((image_R < 0).sum()) * tokens)
            score_QK, vector_QK = index.search(queries_QD, taken)
            image_QK = np.where(vector_QK < 0, -1, image_R[vector_QK // tokens])
            scores.append(np.where(image_QK < 0, -np.inf, score_QK))
            rows.append(np.where(image_QK < 0, -1, image_QK * tokens + vector_QK % tokens))
        score_QK, row_QK = np.concatenate(scores, axis=1), np.concatenate(rows, axis=1)
        order_QK = np.argsort(-score_QK, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(score_QK, order_QK, 1), np.take_along_axis(row_QK, order_QK, 1)

    def search_and_reconstruct(self, queries_QD: np.ndarray, k: int, /) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As :meth:`search`, with the vectors: (Q, k, D); those of row -1 are any."""
        score_QK, row_QK = self.search(queries_QD, k)
        image_K, token_K = np.divmod(np.maximum(row_QK, 0).ravel(), self.vectors.tokens)
        vectors_KTD = self.vectors[image_K].reshape(len(image_K), self.vectors.tokens, self.d)
        return score_QK, row_QK, vectors_KTD[np.arange(len(image_K)), token_K].reshape(*row_QK.shape, self.d)

    def exhaustive(self) -> ShardedIndex:
        """The same, every vector compared."""
        return ShardedIndex(self.vectors, [exhaustive(index) or index for index in self.indexes])
