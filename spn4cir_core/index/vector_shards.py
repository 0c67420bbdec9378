"""Vectors of images in shards: a grown corpus writes one shard more and shares the others with the index before it.

A shard is a file of vectors, one of keys, and indexes of them; none is ever changed. Which of them stay is said by
:mod:`spn4cir_core.index.shard_layout`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import BaseModel, ConfigDict

from spn4cir_core.errors import StoreError
from spn4cir_core.index.base import INDEXES, Index, VectorIndex
from spn4cir_core.index.shard_layout import KEY_BYTES, Layout, key_bytes, layout_of
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.draft import Draft
from spn4cir_core.store.whole_file import whole_file

FOLDER = "vectors"


class Shard(BaseModel):
    """Vectors that were written together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    rows: int
    """Images in it, those that are gone too."""
    indexes: dict[str, str] = {}
    """What an index of its vectors is for → its kind, a member of :data:`INDEXES`."""
    recall: float = 1.0
    """Share of the best images that its index of vectors finds; 1 where each is compared."""

    def file(self, of: str = "npy") -> str:
        """File of its vectors (``npy``), of its keys (``keys.npy``), or of an index."""
        return f"{FOLDER}/{self.name}.{of}"


class ShardList(BaseModel):
    """The shards of the vectors of one name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    space: str
    """Fingerprint of what decides a vector and its indexes beside its key: the encoder, the settings of the index."""
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class VectorSource:
    """The vectors of one name of N images."""

    name: str
    space: str
    """As of :class:`ShardList`."""
    keys: Sequence[str]
    """Of each image what its vectors are made of, such as its id and the hash of its pixels; no two are equal."""
    vectors: Callable[[np.ndarray], np.ndarray]
    """(K,) numbers of images, ascending → their (K, D) or (K, T, D) float32 vectors."""
    indexes: Callable[[np.ndarray], Mapping[str, Index]] = lambda vectors: {}
    """Vectors of a shard → the indexes to be made of them, by what they are for; none: each vector is compared."""
    measured: Callable[[VectorIndex, np.ndarray], float] = lambda index, vectors: 1.0
    """An index that is for :data:`SEARCH` and its vectors → its recall."""
    seed: int = 0


SEARCH = "search"
"""What an index is for that answers by itself."""


@dataclass(frozen=True)
class EarlierShards:
    """The shards of the artefact before, which may be shared; none where there is no such artefact."""

    artifact: Artifact | None = None
    lists: Mapping[str, ShardList] = field(default_factory=dict)

    def of(self, source: VectorSource) -> Sequence[Shard]:
        """Those of the same name and space."""
        listed = self.lists.get(source.name)
        return listed.shards if listed is not None and listed.space == source.space else ()


@dataclass
class ShardWriter:
    """Writes the shards of an artefact, and counts the images of each name: ``shared`` and ``written``."""

    draft: Draft
    earlier: EarlierShards
    lists: dict[str, ShardList] = field(default_factory=dict)
    shared: dict[str, int] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)

    def write(self, source: VectorSource) -> None:
        """Share what is there already, and write the rest as one shard."""
        artifact, earlier = self.earlier.artifact, self.earlier.of(source)
        key_N = key_bytes(source.keys)
        layout = layout_of(key_N, [_keys(artifact, shard) for shard in earlier if artifact is not None])
        shards = [earlier[number] for number in layout.shared]
        for shard in shards:
            assert artifact is not None
            for of in ("npy", "keys.npy", *shard.indexes):
                artifact.share(shard.file(of), self.draft)
        images_K = np.union1d(layout.moved_K, layout.new_K)
        if len(images_K):
            vectors = self._vectors(source, layout, images_K, earlier)
            shards.append(self._write(source, key_N[images_K], vectors))
        self.save(rows_file(source.name), np.stack([layout.shard_N, layout.row_N], axis=1).astype(np.int32))
        self.lists[source.name] = ShardList(space=source.space, shards=tuple(shards))
        self.shared[source.name], self.written[source.name] = len(key_N) - len(images_K), len(images_K)

    def _vectors(
        self, source: VectorSource, layout: Layout, images_K: np.ndarray, earlier: Sequence[Shard]
    ) -> np.ndarray:
        """Those of the images to be written: computed, or copied from an earlier shard that does not stay."""
        if not len(layout.moved_K):
            return np.asarray(source.vectors(images_K), np.float32)
        parts = [_open(self.earlier.artifact, shard.file()) for shard in earlier]
        vectors = np.empty((len(images_K), *parts[0].shape[1:]), np.float32)
        if len(layout.new_K):
            vectors[np.searchsorted(images_K, layout.new_K)] = source.vectors(layout.new_K)
        shard_K, row_K = layout.earlier_shard_N[layout.moved_K], layout.earlier_row_N[layout.moved_K]
        vectors[np.searchsorted(images_K, layout.moved_K)] = gathered(parts, shard_K, row_K)
        return vectors

    def _write(self, source: VectorSource, key_R: np.ndarray, vectors: np.ndarray) -> Shard:
        name = f"{source.name}-{hashlib.sha256(source.space.encode() + key_R.tobytes()).hexdigest()[:KEY_BYTES]}"
        flat_VD = np.ascontiguousarray(np.nan_to_num(vectors.reshape(-1, vectors.shape[-1])))
        indexes, recall = source.indexes(flat_VD), 1.0
        shard = Shard(name=name, rows=len(key_R), indexes={of: one.plugin_kind for of, one in indexes.items()})
        self.save(shard.file(), vectors)
        self.save(shard.file("keys.npy"), key_R)
        for of, member in indexes.items():
            index = member.build(flat_VD, source.seed)
            recall = source.measured(index, flat_VD) if of == SEARCH else recall
            with whole_file(self.draft.file(shard.file(of))) as scratch:
                member.write(index, scratch)
        return shard.model_copy(update={"recall": recall})

    def save(self, name: str, array: np.ndarray) -> None:
        """Write an array into the draft."""
        with whole_file(self.draft.file(name)) as scratch, scratch.open("wb") as stream:
            np.save(stream, array, allow_pickle=False)

    def remove_unlisted(self) -> None:
        """Remove shards that a try which was interrupted has left, and no list names."""
        names = {shard.name for listed in self.lists.values() for shard in listed.shards}
        files = {rows_file(name) for name in self.lists}
        for path in (self.draft.path / FOLDER).glob("*"):
            if path.name.partition(".")[0] not in names and f"{FOLDER}/{path.name}" not in files:
                path.unlink()


def rows_file(name: str) -> str:
    """File of (N, 2) int32: of each image the number of its shard and its row there."""
    return f"{FOLDER}/{name}.rows.npy"


def gathered(parts: Sequence[np.ndarray], shard_K: np.ndarray, row_K: np.ndarray) -> np.ndarray:
    """(K, …) rows of several shards."""
    if len(parts) == 1:
        return np.take(parts[0], row_K, axis=0).astype(np.float32, copy=False)
    vectors = np.empty((len(row_K), *parts[0].shape[1:]), np.float32)
    for number, part in enumerate(parts):
        here = np.flatnonzero(shard_K == number)
        if len(here):
            vectors[here] = part[row_K[here]]
    return vectors


def recall_of(listed: ShardList) -> float:
    """Mean of the shards' recalls, by their images."""
    return float(np.average([shard.recall for shard in listed.shards], weights=[shard.rows for shard in listed.shards]))


def open_index(artifact: Artifact, shard: Shard, of: str) -> VectorIndex | None:
    """A shard's index that is for this; None where each vector is compared.

    Raises:
        StoreError: the file is damaged.
    """
    if of not in shard.indexes:
        return None
    path = artifact.file(shard.file(of))
    member: Index = INDEXES.build(shard.indexes[of])
    try:
        return member.open(path)
    except RuntimeError as error:
        raise StoreError(f"{path} is damaged. Delete {artifact.path} and run again.") from error


def _keys(artifact: Artifact | None, shard: Shard) -> np.ndarray:
    return _open(artifact, shard.file("keys.npy"))


def _open(artifact: Artifact | None, name: str) -> np.ndarray:
    assert artifact is not None
    return open_array(artifact, name)


def open_array(artifact: Artifact, name: str) -> np.ndarray:
    """An array of an artefact, memory-mapped.

    Raises:
        StoreError: the file is missing or damaged.
    """
    path = artifact.file(name)
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}). Delete {artifact.path} and run again.") from error
    return array
