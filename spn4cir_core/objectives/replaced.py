"""One part of the triplet replaced by those of other triplets of the batch.

B triplets, K replacements each. Only replaced references and texts need composing anew: B · K queries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from spn4cir_core.objectives.base import Batch
from spn4cir_core.objectives.negatives import info_nce, positives

if TYPE_CHECKING:
    from torch import Tensor

Part = Literal["target", "reference", "text", "query"]


def replaced_losses(batch: Batch, part: Part, per_query: int | None) -> Tensor:
    """(B,) InfoNCE losses of each triplet against copies of it with one part replaced.

    Args:
        per_query: replacements of a triplet where they are composed anew, taken from those after it in the batch
            (whose order is random); None takes all.
    """
    if part in ("target", "query"):
        scores_BB = batch.similarities_BB
        live_BB = ~batch.is_excluded(batch.target_rows_B)
        if part == "query":
            scores_BB, live_BB = scores_BB.T, live_BB.T
        return info_nce(positives(batch), scores_BB, live_BB, batch.temperature)
    others_BK = _others(batch, per_query)
    live_BK = ~_same(batch, part).gather(1, others_BK)
    return info_nce(positives(batch), _composed_scores(batch, part, others_BK), live_BK, batch.temperature)


def _others(batch: Batch, per_query: int | None) -> Tensor:
    """(B, K) positions in the batch whose part replaces the triplet's own."""
    import torch

    size = len(batch.queries_BD)
    count = size - 1 if per_query is None else min(per_query, size - 1)
    positions_B = torch.arange(size, device=batch.queries_BD.device)
    return (positions_B[:, None] + torch.arange(1, count + 1, device=positions_B.device)) % size


def _same(batch: Batch, part: Part) -> Tensor:
    """(B, B) bool: whether the other triplet's part in this triplet makes no wrong query.

    The same text does not; nor does a reference that is the same picture, is the target, or answers the query; nor
    does what the other triplet asks in the same words, or of the same reference, where its target answers this query.
    """
    same_text_BB = batch.text_numbers_B[:, None] == batch.text_numbers_B[None, :]
    same_reference_BB = batch.reference_rows_B[:, None] == batch.reference_rows_B[None, :]
    answers_BB = batch.is_excluded(batch.target_rows_B)
    if part == "text":
        return same_text_BB | (same_reference_BB & answers_BB)
    return same_reference_BB | batch.is_excluded(batch.reference_rows_B) | (same_text_BB & answers_BB)


def _composed_scores(batch: Batch, part: Part, others_BK: Tensor) -> Tensor:
    """(B, K) cosines of each target with the queries that have one part replaced."""
    import torch

    from spn4cir_core.objectives.similarity import nearest_tokens

    count = others_BK.shape[1]
    own_M = torch.arange(len(others_BK), device=others_BK.device).repeat_interleave(count)
    others_M = others_BK.flatten()
    pairs = (others_M, own_M) if part == "reference" else (own_M, others_M)
    if not len(own_M):
        return batch.queries_BD.new_zeros(others_BK.shape)
    queries_MD = batch.compose(*pairs)
    scores_M = (queries_MD * nearest_tokens(queries_MD, batch.targets_BD[own_M])).sum(dim=1)
    return scores_M.reshape(others_BK.shape)
