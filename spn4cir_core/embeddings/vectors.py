"""Vectors of a corpus as ``.npy`` files: written row block by row block, read memory-mapped."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spn4cir_core.errors import StoreError
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.draft import Draft
from spn4cir_core.store.whole_file import whole_file

EMBEDDINGS_FILE, IMAGE_ID = "image_embeddings.parquet", "image_id"
FILE_ROWS = 1 << 20
"""Rows per file. Not a setting: the bytes of an artefact must not depend on how it was made."""


def vector_file(number: int) -> str:
    """Name of the ``number``-th file of vectors."""
    return f"vectors_{number:05d}.npy"


class Embeddings(NamedTuple):
    """Image ids and their vectors, row by row."""

    image_ids: list[str]
    vectors_ND: np.ndarray
    """Unit vectors, memory-mapped where they lie in one file."""

    @property
    def row_of(self) -> dict[str, int]:
        """Row of each image id."""
        return {image_id: row for row, image_id in enumerate(self.image_ids)}


def read_embeddings(artifact: Artifact) -> Embeddings:
    """Ids and vectors of an ``image_embeddings`` artefact.

    Raises:
        StoreError: there are no vectors, or a file is damaged.
    """
    table = artifact.table(EMBEDDINGS_FILE, columns=[IMAGE_ID])
    return Embeddings(table[IMAGE_ID].to_pylist(), open_vectors(artifact))


def open_vectors(artifact: Artifact) -> np.ndarray:
    """The (N, D) vectors of an ``image_embeddings`` artefact, row i belonging to row i of its table.

    One file is memory-mapped, read only; several are joined in memory.

    Raises:
        StoreError: there are no vectors, or a file is damaged.
    """
    names = sorted(name for name in artifact.summary["files"] if name.startswith("vectors_"))
    if not names:
        raise StoreError(f"{artifact.noun} {artifact.fingerprint} holds no vectors")
    parts = [_open(artifact.file(name)) for name in names]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def write_vectors(
    draft: Draft, blocks: Iterable[np.ndarray], rows: int, dtype: str, file_rows: int = FILE_ROWS
) -> None:
    """Write blocks of (B, D) vectors, ``rows`` in all, as files of ``file_rows`` rows.

    Raises:
        ValueError: the blocks do not add up to ``rows``.
    """
    waiting: list[np.ndarray] = []
    number = held = written = 0
    for block in blocks:
        waiting.append(np.ascontiguousarray(block, dtype))
        held += len(block)
        while held >= file_rows:
            joined = np.concatenate(waiting)
            _save(draft.file(vector_file(number)), joined[:file_rows])
            waiting, held = [joined[file_rows:]], held - file_rows
            number, written = number + 1, written + file_rows
    if held or not number:
        _save(draft.file(vector_file(number)), np.concatenate(waiting) if waiting else np.zeros((0, 0), dtype))
    if written + held != rows:
        raise ValueError(f"{written + held} vectors were given, {rows} announced")


def _save(path: Path, vectors: np.ndarray) -> None:
    with whole_file(path) as scratch, scratch.open("wb") as stream:
        np.save(stream, vectors, allow_pickle=False)


def _open(path: Path) -> np.ndarray:
    try:
        vectors: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}). Delete {path.parent} and run again.") from error
    return vectors
