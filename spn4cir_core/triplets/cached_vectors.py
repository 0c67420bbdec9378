"""Vectors of texts and pictures, computed once and cached in the store for the next run with other gates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from spn4cir_core.engine.batches import RowJob, fill
from spn4cir_core.engine.progress import Progress
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.rows import KEY, VALUE, Rows
from spn4cir_core.triplets.ranks import on_grid
from spn4cir_core.triplets.triplet import Picture

BATCH_ROWS, SHARD_ROWS, READERS = 32, 2048, 2
Encode = Callable[[list[Any]], np.ndarray]
"""From B texts or RGB pictures to (B, D)."""


@dataclass(frozen=True)
class CachedVectors:
    """Reads vectors from the store, and has missing ones computed."""

    store: Store
    files: ImageFiles
    progress: Progress
    seconds: defaultdict[str, float]

    def of_texts(self, model_fingerprint: str, texts: list[str], start: Callable[[], Encode]) -> np.ndarray:
        """(B, D) int16 grid vectors of the texts. ``mark`` is the model's fingerprint; ``start`` loads it."""
        items = {text: text for text in texts}
        known = self._of("sentence_vectors", model_fingerprint, items, lambda text: text, start, "encoding texts")
        return _rows(known, texts)

    def of_pictures(self, model_fingerprint: str, pictures: list[Picture], start: Callable[[], Encode]) -> np.ndarray:
        """(B, D) int16 grid vectors of the pictures, cached by pixel hash."""
        items = {picture.pixel_sha256: picture.path for picture in pictures}
        known = self._of("picture_vectors", model_fingerprint, items, self.files.open, start, "encoding pictures")
        return _rows(known, [picture.pixel_sha256 for picture in pictures])

    def _of(
        self,
        noun: str,
        model_fingerprint: str,
        items: Mapping[str, str],
        read: Callable[[str], Any],
        start: Callable[[], Encode],
        label: str,
    ) -> dict[str, np.ndarray]:
        rows = Rows(self.store.rows(noun, model_fingerprint), pa.list_(pa.int16()))
        encode = FirstUse(start)

        def compute(batch: list[Any]) -> pa.Array:
            return pa.array(list(on_grid(encode(batch))), rows.schema.field(VALUE).type)

        job = RowJob(label, rows, items, read, compute, BATCH_ROWS, SHARD_ROWS, READERS)
        fill(job, self.progress, self.seconds)
        return _wanted(rows, items)


def _wanted(rows: Rows, items: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The wanted keys' vectors; the first part file that has a key decides."""
    vectors: dict[str, np.ndarray] = {}
    for part in rows.scan():
        flat = part[VALUE].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        vectors_BD = flat.reshape(len(part), -1)
        for row, key in enumerate(part[KEY].to_pylist()):
            if key in items:
                vectors.setdefault(key, vectors_BD[row])
    return vectors


def _rows(known: Mapping[str, np.ndarray], keys: list[str]) -> np.ndarray:
    return np.stack([known[key] for key in keys]) if keys else np.zeros((0, 1), np.int16)
