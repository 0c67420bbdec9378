"""Vectors in shards against the same vectors in one array, while images come, go and change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spn4cir_core.errors import StoreError
from spn4cir_core.index.base import Index
from spn4cir_core.index.faiss_index import Codes, Flat, Ivf
from spn4cir_core.index.image_index import best_images_of_each
from spn4cir_core.index.sharded_index import ShardedVectors
from spn4cir_core.index.vector_shards import (
    SEARCH,
    EarlierShards,
    ShardList,
    ShardWriter,
    VectorSource,
    recall_of,
)
from spn4cir_core.store.artifacts import Artifact, Store

DIM = 8
VECTORS = "toys"


def vector_of(key: str, tokens: int) -> np.ndarray:
    """(T, D) unit vectors that depend on the key alone."""
    random_TD = np.random.default_rng(int.from_bytes(key.encode(), "big") % 2**32).normal(size=(tokens, DIM))
    unit_TD: np.ndarray = (random_TD / np.linalg.norm(random_TD, axis=1, keepdims=True)).astype(np.float32)
    return unit_TD


class Grown:
    """An artefact that is written again and again, each time beside the one before."""

    def __init__(self, folder: Path, tokens: int = 1, index: Index | None = None) -> None:
        self.store, self.tokens, self._index = Store(folder), tokens, index
        self.earlier, self.computed, self._count = EarlierShards(), list[int](), 0

    def source(self, keys: Sequence[str], space: str = "encoder") -> VectorSource:
        def vectors(rows_K: np.ndarray) -> np.ndarray:
            self.computed.append(len(rows_K))
            vectors_KTD = np.stack([vector_of(keys[row], self.tokens) for row in rows_K])
            return vectors_KTD[:, 0] if self.tokens == 1 else vectors_KTD

        def indexes(vectors_VD: np.ndarray) -> Mapping[str, Index]:
            return {} if self._index is None else {SEARCH: self._index}

        return VectorSource(VECTORS, space, keys, vectors, indexes, lambda index, vectors_VD: 0.5)

    def write(self, keys: Sequence[str], space: str = "encoder") -> ShardedVectors:
        self._count += 1
        with self.store.writing("grown", f"number{self._count}", {}) as draft:
            (draft.path / "vectors").mkdir(exist_ok=True)
            (draft.path / "vectors" / "toys-left.npy").write_bytes(b"of a try that was interrupted")
            writer = ShardWriter(draft, self.earlier)
            writer.write(self.source(keys, space))
            writer.remove_unlisted()
        artifact = self.store.get("grown", f"number{self._count}")
        assert artifact is not None
        self.earlier = EarlierShards(artifact, writer.lists)
        assert writer.shared[VECTORS] + writer.written[VECTORS] == len(keys)
        self.written = writer.written[VECTORS]
        return self.open()

    def open(self) -> ShardedVectors:
        assert self.earlier.artifact is not None
        return ShardedVectors.open(self.earlier.artifact, VECTORS, self.earlier.lists[VECTORS])

    @property
    def artifact(self) -> Artifact:
        assert self.earlier.artifact is not None
        return self.earlier.artifact


def expected(keys: Sequence[str], tokens: int) -> np.ndarray:
    vectors_NTD = np.stack([vector_of(key, tokens) for key in keys])
    return vectors_NTD[:, 0] if tokens == 1 else vectors_NTD


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("index", [None, Flat(), Codes()], ids=["none", "flat", "codes"])
def test_it_reads_and_answers_as_one_array_however_it_grew(tmp_path: Path, tokens: int, index: Index | None) -> None:
    random, grown = np.random.default_rng(tokens), Grown(tmp_path, tokens, index)
    here: set[int] = set()
    queries_QD = np.stack([vector_of(f"query {number}", 1)[0] for number in range(6)])
    for _ in range(12):
        here |= set(random.choice(400, random.integers(1, 60)).tolist())
        here -= set(random.choice(sorted(here), len(here) // 4).tolist())
        keys = [f"image {number}" for number in sorted(here)]
        vectors, right = grown.write(keys), expected(keys, tokens)
        assert np.array_equal(vectors.whole(), right) and vectors.shape == right.shape
        some = random.permutation(len(keys))[:7]
        assert np.array_equal(vectors[some], right[some]) and np.array_equal(vectors[int(some[0])], right[some[0]])
        searched, flat_VD = vectors.index(SEARCH), right.reshape(-1, DIM)
        assert (searched.ntotal, searched.d) == flat_VD.shape
        every = Flat().build(flat_VD, 0)
        for wanted in (1, 10, len(keys)):
            for ours, theirs in zip(
                best_images_of_each(searched, queries_QD, wanted, tokens),
                best_images_of_each(every, queries_QD, wanted, tokens),
                strict=True,
            ):
                assert ours == theirs
        assert len(vectors.listed.shards) <= 2 + np.log2(len(keys))


def test_what_has_not_changed_is_neither_computed_nor_written(tmp_path: Path) -> None:
    grown, keys = Grown(tmp_path), [f"image {number:03d}" for number in range(300)]
    grown.write(keys)
    (first,) = grown.earlier.lists[VECTORS].shards
    files = {of: grown.artifact.file(first.file(of)).stat() for of in ("npy", "keys.npy")}
    grown.write([*keys[10:], "image 100b", "image 999"])
    assert grown.computed == [300, 2] and grown.written == 2
    shared, second = grown.earlier.lists[VECTORS].shards
    assert shared == first and second.rows == 2
    for of, before in files.items():
        after = grown.artifact.file(first.file(of)).stat()
        assert (after.st_ino, after.st_mtime_ns, after.st_nlink) == (before.st_ino, before.st_mtime_ns, 2)
    grown.write(keys[10:])
    assert grown.written == 0 and grown.earlier.lists[VECTORS].shards == (first,)
    assert len(list((grown.artifact.path / "vectors").iterdir())) == 3


def test_removed_rows_are_left_behind_once_they_are_the_most(tmp_path: Path) -> None:
    grown, keys = Grown(tmp_path), [f"image {number:03d}" for number in range(100)]
    grown.write(keys)
    grown.write(keys[:50])
    assert grown.written == 0 and grown.earlier.lists[VECTORS].shards[0].rows == 100
    grown.write(keys[:49])
    assert grown.written == 49 and [shard.rows for shard in grown.earlier.lists[VECTORS].shards] == [49]
    assert grown.computed == [100], "copied, not computed again"


def test_a_vector_is_copied_a_few_times_only(tmp_path: Path) -> None:
    """One image more each time: binary counting copies each vector log₂ N times."""
    grown, written = Grown(tmp_path), 0
    for number in range(1, 65):
        grown.write([f"image {one}" for one in range(number)])
        written += grown.written
    assert grown.computed == [1] * 64 and written <= 64 * (1 + np.log2(64))


def test_another_space_shares_nothing_and_another_recall_is_averaged(tmp_path: Path) -> None:
    grown, keys = Grown(tmp_path, index=Ivf()), [f"image {number}" for number in range(90)]
    grown.write(keys)
    assert recall_of(grown.earlier.lists[VECTORS]) == 0.5
    grown.write(keys, "another encoder")
    assert grown.written == 90 and grown.computed == [90, 90]
    (shard,) = grown.earlier.lists[VECTORS].shards
    both = ShardList(space="", shards=(shard, shard.model_copy(update={"rows": 10, "recall": 1.0})))
    assert recall_of(both) == pytest.approx(0.55)


def test_parts_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    grown = Grown(tmp_path)
    grown.write(["a", "b"])
    listed: Any = ShardList(space="encoder", shards=())
    with pytest.raises(StoreError, match="do not belong together"):
        ShardedVectors.open(grown.artifact, VECTORS, listed)
