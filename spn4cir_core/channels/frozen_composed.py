"""Channel: reference image and modified text composed by the frozen image encoder, without any training here."""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from spn4cir_core.channels.base import ComposedQueries, VectorChannel, check_lengths

COMPOSED = "composed"
"""Name of the query vectors of an encoder that reads a picture and a text in one."""
TEXT_WEIGHT = 0.5
"""Weight of the text's unit vector in the sum of the two towers; the picture's has the rest."""


class FrozenComposed(VectorChannel):
    """What an embedding model does as it is downloaded.

    The query is what the encoder makes of picture and text together. Of an encoder with two towers, and of a query that
    has only one of the two, it is the sum of their vectors.
    """

    plugin_kind = "frozen_composed"
    title = "frozen encoder, picture and text"

    vectors: str = "picture"

    @property
    @override
    def of_query(self) -> str:
        return "text"

    @override
    def query_vectors(self, queries: ComposedQueries) -> np.ndarray | None:
        weights = {self.vectors: 1 - TEXT_WEIGHT, self.of_query: TEXT_WEIGHT}
        parts = [weight * queries.vectors[name] for name, weight in weights.items() if name in queries.vectors]
        if not parts:
            return None
        for part_QD in parts[1:]:
            check_lengths(part_QD.shape[1], parts[0].shape[1])
        total_QD = np.sum([np.nan_to_num(part_QD) for part_QD in parts], axis=0, dtype=np.float32)
        norms_Q1 = np.linalg.norm(total_QD, axis=1, keepdims=True)
        summed_QD = np.where(norms_Q1 > 0, total_QD / np.maximum(norms_Q1, 1e-12), np.nan)
        composed_QD = queries.vectors.get(COMPOSED)
        if composed_QD is not None:
            check_lengths(composed_QD.shape[1], summed_QD.shape[1])
        return summed_QD if composed_QD is None else np.where(np.isnan(composed_QD), summed_QD, composed_QD)
