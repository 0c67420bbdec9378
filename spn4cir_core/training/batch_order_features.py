"""Vectors and categories of the targets of the training triplets, for orders of batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spn4cir_core.embeddings.vectors import open_vectors
from spn4cir_core.images.manifest import read_manifest
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.training.triplet_batches import TrainingTriplets


@dataclass(frozen=True)
class BatchOrderFeatures:
    """Vectors and categories of the targets of the T training triplets; each is read at its first use."""

    ancestors: Mapping[str, Artifact]
    """``images`` and ``image_embeddings`` that the triplets were made of."""
    triplets: TrainingTriplets
    bank_ND: np.ndarray | None
    """Candidate vectors where there are some; else those of the image encoder that mined the pairs serve."""

    def vectors(self) -> np.ndarray:
        """(T, D) unit vectors; the mean of a target's tokens where it has several."""
        if self.bank_ND is not None:
            bank_rows = np.asarray(self.bank_ND[self.triplets.targets], np.float32)
            return bank_rows if bank_rows.ndim == 2 else bank_rows.mean(axis=1)
        embeddings = self.ancestors["image_embeddings"]
        rows = self._rows_in(embeddings.table(columns=["image_id"])["image_id"])
        vectors: np.ndarray = np.asarray(open_vectors(embeddings)[rows], np.float32)
        return vectors

    def categories(self) -> Sequence[str]:
        """Category of each target."""
        images = read_manifest(self.ancestors["images"], "image_id", "category")
        categories: list[str] = images["category"].take(pa.array(self._rows_in(images["image_id"]))).to_pylist()
        return categories

    def references(self) -> np.ndarray:
        """(T,) candidate row of each reference image."""
        return self.triplets.references

    def _rows_in(self, image_ids: pa.ChunkedArray) -> np.ndarray:
        targets = self.triplets.candidates["image_id"].take(pa.array(self.triplets.targets))
        rows: np.ndarray = pc.index_in(targets, value_set=image_ids.combine_chunks()).to_numpy()
        return rows
