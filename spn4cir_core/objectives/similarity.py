"""Similarity of a query and a candidate: the cosine, or the highest one over the candidate's tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def similarities(queries_BD: Tensor, candidates: Tensor) -> Tensor:
    """(B, N) cosines of B queries with N candidates; gradients flow to both.

    Args:
        candidates: (N, D) unit vectors, or (N, T, D) where a candidate has T of them: its similarity is then the
            highest of the T, and gradients flow through that one alone (SPRC's query against Q-Former tokens).
    """
    from spn4cir_core.models.products import product

    if candidates.ndim == 2:
        return product(queries_BD, candidates)
    cosines_BNT = product(queries_BD, candidates.flatten(0, 1)).view(len(queries_BD), *candidates.shape[:2])
    return cosines_BNT.max(dim=2).values


def nearest_tokens(queries_BD: Tensor, targets: Tensor) -> Tensor:
    """(B, D) vectors of the queries' own targets; of (B, T, D) targets the token nearest to the query."""
    if targets.ndim == 2:
        return targets
    tokens_B = (targets @ queries_BD[:, :, None]).squeeze(2).argmax(dim=1)
    return targets.take_along_dim(tokens_B[:, None, None], dim=1).squeeze(1)
