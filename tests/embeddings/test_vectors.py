from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spn4cir_core.embeddings.vectors import open_vectors, write_vectors
from spn4cir_core.errors import StoreError
from spn4cir_core.store.artifacts import Artifact, Store


def stored(tmp_path: Path, vectors: np.ndarray, file_rows: int, block: int = 3) -> Artifact:
    store = Store(tmp_path)
    with store.writing("image_embeddings", "f" * 16, {}) as draft:
        blocks = (vectors[start : start + block] for start in range(0, len(vectors), block))
        write_vectors(draft, blocks, len(vectors), str(vectors.dtype), file_rows)
    artifact = store.get("image_embeddings", "f" * 16)
    assert artifact is not None
    return artifact


@pytest.mark.parametrize("file_rows", [1, 4, 5, 10, 100])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_is_written_is_read(tmp_path: Path, file_rows: int, dtype: str) -> None:
    vectors = np.random.default_rng(0).normal(size=(10, 4)).astype(dtype)
    artifact = stored(tmp_path, vectors, file_rows)
    result = open_vectors(artifact)
    assert result.dtype == vectors.dtype
    np.testing.assert_array_equal(result, vectors)
    assert len(artifact.summary["files"]) == -(-10 // file_rows)


def test_one_file_is_mapped_read_only(tmp_path: Path) -> None:
    result = open_vectors(stored(tmp_path, np.ones((4, 2), np.float32), 100))
    assert isinstance(result, np.memmap)
    assert not result.flags.writeable


def test_bytes_do_not_depend_on_the_blocks(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
    files = [stored(tmp_path / str(block), vectors, 4, block).summary["files"] for block in (1, 3, 10)]
    assert files[0] == files[1] == files[2]


def test_rows_must_add_up(tmp_path: Path) -> None:
    with Store(tmp_path).writing("x", "f", {}) as draft, pytest.raises(ValueError, match="announced"):
        write_vectors(draft, [np.ones((2, 2))], 3, "float32")


def test_no_vectors_and_damage_are_said(tmp_path: Path) -> None:
    artifact = stored(tmp_path, np.ones((4, 2), np.float32), 100)
    with pytest.raises(StoreError, match="no vectors"):
        open_vectors(Artifact("image_embeddings", artifact.path, {"files": {}, "fingerprint": "x"}))
    path = artifact.path / "vectors_00000.npy"
    path.write_bytes(b"0" * path.stat().st_size)
    with pytest.raises(StoreError, match="damaged"):
        open_vectors(artifact)
