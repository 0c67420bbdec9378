"""The hardest negatives of each query, block by block.

B queries, N candidates (a pool: the bank, or the targets of a batch), K kept, C candidates per block. Scores are
compared without a gradient graph and never more than (B, C) at a time, so the pool may be of any size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from spn4cir_core.objectives.bank_shard import BankShard
from spn4cir_core.objectives.similarity import similarities

BLOCK_ROWS = 4096
TOKENS_AT_ONCE = 8

Refuse = Callable[[Tensor, Tensor], Tensor]
"""(B, C) scores and (C, D) or (C, T, D) candidates of a block → (B, C) bool: True is not a negative."""


@torch.no_grad()
def hard_rows(
    queries_BD: Tensor,
    pool: Tensor | BankShard,
    count: int,
    excluded_M2: Tensor,
    refuse: Refuse | None = None,
    block_rows: int = BLOCK_ROWS,
) -> tuple[Tensor, Tensor]:
    """The rows of the ``count`` candidates that score highest with each query, hardest first (ADORE, Zhan et al. 2021).

    Args:
        pool: (N, D), or (N, T, D) of several tokens; any float type and device, also memory-mapped. Or the rows of the
            bank that this process holds: all processes then call together with equal queries and pairs, each looks
            through its own rows, and all get the same.
        excluded_M2: int64 (query, row) pairs that are never taken: targets and known false negatives.
        refuse: further candidates that are not taken.

    Returns:
        (B, K) int64 rows and (B, K) bool: whether the row is a negative at all, as a query may have fewer than K;
        K is ``count``, or N where that is less. Negatives come before the rest.
    """
    if isinstance(pool, Tensor):
        rows_BK, best_BK = _hardest(queries_BD, pool, count, excluded_M2, refuse, block_rows)
        return rows_BK, best_BK > -torch.inf
    held_M2 = excluded_M2[pool.holds(excluded_M2[:, 1])] - excluded_M2.new_tensor([0, pool.first_row])
    rows_BK, best_BK = _hardest(queries_BD, pool.vectors, count, held_M2, refuse, block_rows)
    rows_BS, best_BS = pool.side_by_side(rows_BK + pool.first_row), pool.side_by_side(best_BK)
    best_BK, columns_BK = best_BS.topk(min(count, best_BS.shape[1]), dim=1)
    return rows_BS.gather(1, columns_BK), best_BK > -torch.inf


def _hardest(
    queries_BD: Tensor, pool: Tensor, count: int, excluded_M2: Tensor, refuse: Refuse | None, block_rows: int
) -> tuple[Tensor, Tensor]:
    """(B, K) rows of a pool and their scores, −∞ where a row is not a negative."""
    count = min(count, len(pool))
    order = torch.argsort(excluded_M2[:, 1])
    owners_M, rows_M = excluded_M2[order].T.contiguous()
    best_BK = queries_BD.new_full((len(queries_BD), count), -torch.inf)
    rows_BK = torch.zeros(best_BK.shape, dtype=torch.int64, device=queries_BD.device)
    for start in range(0, len(pool), block_rows):
        block = pool[start : start + block_rows].to(queries_BD.device, queries_BD.dtype)
        scores_BC = similarities(queries_BD, block)
        if refuse is not None:
            scores_BC = scores_BC.masked_fill(refuse(scores_BC, block), -torch.inf)
        inside = slice(*torch.searchsorted(rows_M, rows_M.new_tensor([start, start + len(block)])).tolist())
        scores_BC[owners_M[inside], rows_M[inside] - start] = -torch.inf
        block_best, block_rows_BK = scores_BC.topk(min(count, len(block)), dim=1)
        best_BK, order_BK = torch.cat([best_BK, block_best], dim=1).topk(count, dim=1)
        rows_BK = torch.cat([rows_BK, block_rows_BK + start], dim=1).gather(1, order_BK)
    return rows_BK, best_BK


def vectors_at(queries_BD: Tensor, pool: Tensor, rows_BK: Tensor) -> Tensor:
    """(B, K, D) vectors of the pool's rows, of several tokens the nearest to the query; gradients reach the pool."""
    rows_BK = rows_BK.to(pool.device)
    if pool.ndim == 3:
        rows_BK = rows_BK * pool.shape[1] + _nearest_tokens(queries_BD, pool, rows_BK)
        pool = pool.flatten(0, 1)
    return pool[rows_BK].to(queries_BD.device, queries_BD.dtype)


@torch.no_grad()
def _nearest_tokens(queries_BD: Tensor, pool: Tensor, rows_BK: Tensor) -> Tensor:
    """(B, K) number of the token; few candidates at a time, as each brings T vectors."""
    numbers = []
    for rows_BC in torch.split(rows_BK, TOKENS_AT_ONCE, dim=1):
        tokens_BCTD = pool[rows_BC].to(queries_BD.device, queries_BD.dtype)
        numbers.append((tokens_BCTD @ queries_BD[:, None, :, None]).squeeze(3).argmax(dim=2).to(pool.device))
    return torch.cat(numbers, dim=1)
