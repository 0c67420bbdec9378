"""Readings of pictures: the captions that a tagger finds likely, with their probability."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from spn4cir_core.captions.caption_table import IMAGE_ID
from spn4cir_core.store.artifacts import Artifact

READINGS_FILE = "readings.parquet"
CAPTIONS, SHARES = "captions", "shares"
SCHEMA = pa.schema([(IMAGE_ID, pa.string()), (CAPTIONS, pa.list_(pa.string())), (SHARES, pa.list_(pa.float32()))])

Reading = tuple[str, float]
"""A caption and its probability."""


def readings_table(readings_of: Mapping[str, Sequence[Reading]]) -> pa.Table:
    """One row for each image id that has readings."""
    columns = [
        list(readings_of),
        [[caption for caption, _ in readings] for readings in readings_of.values()],
        [[share for _, share in readings] for readings in readings_of.values()],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


@dataclass(frozen=True)
class Readings:
    """Readings of M pictures, R in all.

    Attributes:
        row_of: by image id.
        start_M1: where the readings of each picture begin, and R.
        number_R: which of :attr:`captions` each one is.
        share_R: its probability; those of a picture sum to 1.
    """

    row_of: Mapping[str, int]
    start_M1: np.ndarray
    captions: Sequence[str]
    number_R: np.ndarray
    share_R: np.ndarray

    @classmethod
    def read(cls, captions: Artifact) -> Readings | None:
        """None where the captioner is sure of what it writes."""
        if READINGS_FILE not in captions.summary["files"]:
            return None
        table = captions.table(READINGS_FILE, SCHEMA.names).combine_chunks()
        row_of = {image_id: row for row, image_id in enumerate(table[IMAGE_ID].to_pylist())}
        lists = table[CAPTIONS].combine_chunks()
        words = lists.flatten().dictionary_encode()
        shares_R = table[SHARES].combine_chunks().flatten().to_numpy()
        return cls(row_of, lists.offsets.to_numpy(), words.dictionary.to_pylist(), words.indices.to_numpy(), shares_R)

    def of(self, image_id: str) -> list[Reading]:
        """The readings of a picture that has some."""
        start, end = self.start_M1[self.row_of[image_id] :][:2]
        return [
            (self.captions[number], float(self.share_R[at]))
            for at, number in enumerate(self.number_R[start:end], start)
        ]

    def drawn(self, image_id: str, random: np.random.Generator) -> str | None:
        """One of a picture's readings, as likely as it is; None where it has none."""
        row = self.row_of.get(image_id)
        if row is None:
            return None
        start, end = self.start_M1[row : row + 2]
        share_P = self.share_R[start:end].astype(np.float64)
        return self.captions[int(self.number_R[start + random.choice(end - start, p=share_P / share_P.sum())])]

    def mean_vectors(self, image_ids: Sequence[str], encode: Callable[[Sequence[str]], np.ndarray]) -> np.ndarray:
        """(N, D) unit vectors: the readings' vectors, weighted by probability (ConSE, Norouzi et al. 2014, equation 4).

        Args:
            image_ids: that have readings.
            encode: from texts to their unit vectors.
        """
        from scipy import sparse

        reading_CD = encode(self.captions)
        shape = (len(self.row_of), len(self.captions))
        share_MC = sparse.csr_matrix((self.share_R, self.number_R, self.start_M1), shape=shape)
        mean_ND = share_MC[[self.row_of[image_id] for image_id in image_ids]] @ reading_CD
        norm_N1 = np.maximum(np.linalg.norm(mean_ND, axis=1, keepdims=True), 1e-12)
        unit_ND: np.ndarray = (mean_ND / norm_N1).astype(np.float32)
        return unit_ND
