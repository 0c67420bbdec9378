"""Unit vectors of pictures by an image encoder: kept once for the ``image_embeddings`` stage and for a backbone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from spn4cir_core.images.picture_rows import RowLayout


def _unit_rows(raw_BD: np.ndarray) -> pa.Array:
    """B unit vectors as Arrow lists of float32; null for a vector that is zero or not finite."""
    units_BD, good_B = unit_vectors(raw_BD)
    return pa.array([row if ok else None for row, ok in zip(units_BD, good_B, strict=True)], pa.list_(pa.float32()))


def unit_vectors(raw_BD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(B, D) float32 vectors of length 1, and (B,) bool: False for one that is zero or not finite, which is zero."""
    vectors_BD = np.asarray(raw_BD, np.float64)
    norms_B = np.linalg.norm(vectors_BD, axis=1)
    good_B = np.isfinite(norms_B) & (norms_B > 0)
    units_BD = np.where(good_B[:, None], vectors_BD, 0) / np.where(good_B, norms_B, 1)[:, None]
    return units_BD.astype(np.float32), good_B


def _rows(values: pa.ChunkedArray) -> np.ndarray:
    rows: np.ndarray = values.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(len(values), -1)
    return rows


UNIT_VECTORS = RowLayout("image_embeddings", pa.list_(pa.float32()), _unit_rows, _rows)
"""The rows of :class:`~spn4cir_core.embeddings.base.ImageEncoder.fingerprint`; null where an encoder gives none."""
