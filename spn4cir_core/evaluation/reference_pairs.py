"""Queries with several reference images: one pair of text and picture each, and means over the pairs of a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spn4cir_core.evaluation.base import Query


@dataclass(frozen=True)
class ReferencePairs:
    """The P pairs of query and reference image, query by query; P is Q where each query has one reference."""

    reference_ids: tuple[str, ...]
    query_P: np.ndarray
    """(P,) int64: number of the query of each pair, ascending."""

    @classmethod
    def of(cls, queries: Sequence[Query]) -> ReferencePairs:
        """The pairs of some queries."""
        counts = [len(query.reference_ids) for query in queries]
        reference_ids = tuple(image_id for query in queries for image_id in query.reference_ids)
        return cls(reference_ids, np.repeat(np.arange(len(queries)), counts))

    def rows_of(self, queries: Sequence[int]) -> np.ndarray:
        """Rows of the pairs of some queries, in the order of the queries."""
        first = np.searchsorted(self.query_P, queries, "left")
        last = np.searchsorted(self.query_P, queries, "right")
        return np.concatenate([np.zeros(0, np.int64), *map(np.arange, first, last)])

    def mean(self, values_PN: np.ndarray) -> np.ndarray:
        """(Q, N) mean over the pairs of each query; the very values where each has one pair."""
        count_Q = np.bincount(self.query_P)
        if (count_Q == 1).all():
            return values_PN
        first_Q = np.cumsum(count_Q) - count_Q
        mean_QN: np.ndarray = np.add.reduceat(values_PN, first_Q, axis=0) / count_Q[:, None].astype(values_PN.dtype)
        mean_QN[count_Q == 1] = values_PN[first_Q[count_Q == 1]]
        return mean_QN

    def mean_vectors(self, vectors_PD: np.ndarray) -> np.ndarray:
        """(Q, D) unit vectors: the normalised mean over the pairs of each query, the vector itself where it has one."""
        mean_QD = self.mean(vectors_PD)
        several_Q = np.bincount(self.query_P) > 1
        if several_Q.any():
            lengths = np.linalg.norm(mean_QD[several_Q], axis=1, keepdims=True)
            mean_QD[several_Q] /= np.maximum(lengths, 1e-12)
        return mean_QD
