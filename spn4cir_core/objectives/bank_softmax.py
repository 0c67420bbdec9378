"""Exact softmax cross-entropy over a frozen bank, loss and gradient in one streaming pass.

B queries, D dimensions, N bank rows, C rows per block. The bank takes no gradient, so with
``p = softmax(bank · q / τ)`` the gradient is ``(Σ p_j bank_j − bank_target) / τ``: the softmax-weighted mean of
the bank can be summed up beside a running log-sum-exp. Two matrix products a block, no (B, N) logits.
A candidate may have T tokens: V = C·T vectors then make up a block, and its logit is the highest of its tokens'.
Spread over processes, each passes over its own rows with all queries, and the sums are added up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from spn4cir_core.models.products import product
from spn4cir_core.objectives.bank_shard import BankShard
from spn4cir_core.objectives.similarity import nearest_tokens

BLOCK_ROWS = 2048


@dataclass(frozen=True)
class SoftmaxParts:
    """Sums of one pass over a bank, or over a shard of it, for B queries."""

    peak_B: Tensor
    """Greatest logit."""
    mass_B: Tensor
    """Sum of exp(logit − peak)."""
    mean_BD: Tensor
    """Sum of exp(logit − peak) · row; over ``mass`` it is the softmax-weighted mean of the rows."""

    def joined(self, shard: BankShard) -> SoftmaxParts:
        """The parts of all processes together, each having passed over its own rows with the same queries."""
        peak_B = shard.greatest(self.peak_B)
        sums_BS = torch.cat([self.mass_B[:, None], self.mean_BD], dim=1) * torch.exp(self.peak_B - peak_B)[:, None]
        mass_B1, mean_BD = shard.total(sums_BS).tensor_split([1], dim=1)
        return SoftmaxParts(peak_B, mass_B1[:, 0], mean_BD)


def softmax_parts(
    queries_BD: Tensor, bank: Tensor, excluded_M2: Tensor, temperature: float, block_rows: int = BLOCK_ROWS
) -> SoftmaxParts:
    """One pass over the bank; extra memory is (B, block_rows) and does not depend on N.

    Args:
        bank: (N, D) or (N, T, D) of any float type, also memory-mapped; blocks are moved and cast to the queries'
            device and type.
        excluded_M2: (query, bank row) pairs that take no part in the softmax; every query must keep a row.
        block_rows: vectors per block; a candidate of T tokens takes T of them.
    """
    tokens = bank.shape[1] if bank.ndim == 3 else 1
    block_rows = max(1, block_rows // tokens)
    scaled_BD = queries_BD / temperature
    excluded_M2 = excluded_M2[torch.argsort(excluded_M2[:, 1])]
    peak_B = queries_BD.new_full((len(queries_BD),), -torch.inf)
    mass_B = queries_BD.new_zeros(len(queries_BD))
    mean_BD = torch.zeros_like(queries_BD)
    starts = range(0, len(bank), block_rows)
    edges = torch.tensor([*starts, len(bank)], device=excluded_M2.device)
    cuts = torch.searchsorted(excluded_M2[:, 1].contiguous(), edges).tolist()
    for number, start in enumerate(starts):
        vectors_VD = bank[start : start + block_rows].to(queries_BD.device, queries_BD.dtype).flatten(0, -2)
        logits_BC, nearest_BC = _highest(product(scaled_BD, vectors_VD), tokens)
        pairs = excluded_M2[cuts[number] : cuts[number + 1]]
        if len(pairs):
            logits_BC[pairs[:, 0], pairs[:, 1] - start] = -torch.inf
        new_peak_B = torch.maximum(peak_B, logits_BC.amax(dim=1))
        # Where every row so far is excluded the peak is still -inf, and -inf minus -inf is not a number.
        shift_B = new_peak_B.clamp_min(torch.finfo(new_peak_B.dtype).min)
        weights_BC = logits_BC.sub_(shift_B[:, None]).exp_()
        fade_B = torch.exp(peak_B - shift_B)
        mass_B.mul_(fade_B).add_(weights_BC.sum(dim=1))
        if number and bool((fade_B != 1).any()):
            mean_BD.mul_(fade_B[:, None])
        _add_weighted(mean_BD, weights_BC, nearest_BC, vectors_VD)
        peak_B = new_peak_B
    return SoftmaxParts(peak_B, mass_B, mean_BD)


def _highest(scores_BV: Tensor, tokens: int) -> tuple[Tensor, Tensor | None]:
    """(B, C) highest score over each candidate's tokens, and which token has it; no choice where there is one."""
    if tokens == 1:
        return scores_BV, None
    highest: tuple[Tensor, Tensor] = scores_BV.view(len(scores_BV), -1, tokens).max(dim=2)
    return highest[0], highest[1]


def _add_weighted(mean_BD: Tensor, weights_BC: Tensor, nearest_BC: Tensor | None, vectors_VD: Tensor) -> None:
    """Add weights times vectors. One token of a candidate has all its weight, so picking it beats a product."""
    if nearest_BC is None:
        mean_BD.add_(product(weights_BC, vectors_VD.T))
        return
    candidates = weights_BC.shape[1]
    firsts_C = torch.arange(0, len(vectors_VD), len(vectors_VD) // candidates, device=vectors_VD.device)
    mean_BD.add_(embedding_bag(nearest_BC + firsts_C, vectors_VD, per_sample_weights=weights_BC, mode="sum"))


def _parts(queries_BD: Tensor, bank: Tensor | BankShard, excluded_M2: Tensor, temperature: float) -> SoftmaxParts:
    if isinstance(bank, Tensor):
        return softmax_parts(queries_BD, bank, excluded_M2, temperature)
    held_M2 = excluded_M2[bank.holds(excluded_M2[:, 1])] - excluded_M2.new_tensor([0, bank.first_row])
    return softmax_parts(queries_BD, bank.vectors, held_M2, temperature).joined(bank)


class _BankSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries_BD: Tensor,
        bank: Tensor | BankShard,
        targets_BD: Tensor,
        excluded_M2: Tensor,
        temperature: Tensor,
    ) -> Tensor:
        tau = float(temperature)
        parts = _parts(queries_BD, bank, excluded_M2, tau)
        pull_BD = parts.mean_BD.div_(parts.mass_B[:, None]).sub_(targets_BD)
        ctx.save_for_backward(pull_BD, queries_BD)
        ctx.temperature = tau
        positive_B = (queries_BD * targets_BD).sum(dim=1) / tau
        return parts.peak_B + torch.log(parts.mass_B) - positive_B

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        pull_BD, queries_BD = ctx.saved_tensors
        scaled_B1 = grads[0][:, None] / ctx.temperature
        for_temperature = None
        if ctx.needs_input_grad[4]:
            for_temperature = -((pull_BD * queries_BD) * scaled_B1).sum() / ctx.temperature
        return pull_BD * scaled_B1, None, None, None, for_temperature


def bank_softmax_losses(
    queries_BD: Tensor, bank: Tensor | BankShard, target_rows_B: Tensor, excluded_M2: Tensor, temperature: Tensor
) -> Tensor:
    """(B,) losses ``log Σ_j exp(q·g_j / τ) − q·g_target / τ`` over the bank rows g_j that are not excluded.

    Gradients flow to the queries and the temperature, never to the bank. A candidate of T tokens counts with the
    one nearest to the query, and the gradient is that token's.

    Args:
        queries_BD: float32 (or float64) queries.
        bank: (N, D) or (N, T, D) frozen candidates, any float type, possibly memory-mapped; or the rows that this
            process holds of it. All processes then call together with equal queries, rows and pairs, and all get the
            same losses and gradients.
        target_rows_B: int64 row of each query's target in the whole bank.
        excluded_M2: int64 (query, row of the whole bank) pairs that are not negatives; must not contain a query's
            own target.
        temperature: scalar tensor.
    """
    if isinstance(bank, Tensor):
        targets = bank[target_rows_B.to(bank.device)].to(queries_BD.device, queries_BD.dtype)
    else:
        targets = bank.rows(target_rows_B, queries_BD)
    targets_BD = nearest_tokens(queries_BD.detach(), targets)
    losses_B: Tensor = _BankSoftmax.apply(queries_BD, bank, targets_BD, excluded_M2, temperature)
    return losses_B
