"""Exact softmax cross-entropy over a frozen bank, loss and gradient in one streaming pass.

B queries, D dimensions, N bank rows, C rows per block. The bank takes no gradient, so with
``p = softmax(bank · q / τ)`` the gradient is ``(Σ p_j bank_j − bank_target) / τ``: the softmax-weighted mean of
the bank can be summed up beside a running log-sum-exp. Two matrix products a block, no (B, N) logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

BLOCK_ROWS = 2048


@dataclass(frozen=True)
class SoftmaxParts:
    """What a pass over (a shard of) a bank leaves behind. Shards add up: see :meth:`join`."""

    peak_B: Tensor
    """Greatest logit so far."""
    mass_B: Tensor
    """Sum of exp(logit − peak)."""
    mean_BD: Tensor
    """Sum of exp(logit − peak) · row; over ``mass`` it is the softmax-weighted mean of the rows."""

    def join(self, other: SoftmaxParts) -> SoftmaxParts:
        """The parts of two shards together."""
        peak_B = torch.maximum(self.peak_B, other.peak_B)
        mine_B, theirs_B = torch.exp(self.peak_B - peak_B), torch.exp(other.peak_B - peak_B)
        return SoftmaxParts(
            peak_B,
            self.mass_B * mine_B + other.mass_B * theirs_B,
            self.mean_BD * mine_B[:, None] + other.mean_BD * theirs_B[:, None],
        )


def softmax_parts(
    queries_BD: Tensor, bank_ND: Tensor, left_out_M2: Tensor, temperature: float, block_rows: int = BLOCK_ROWS
) -> SoftmaxParts:
    """One pass over the bank; extra memory is (B, block_rows) and does not depend on N.

    Args:
        bank_ND: any float type, also memory-mapped; blocks are moved and cast to the queries' device and type.
        left_out_M2: (query, bank row) pairs that take no part in the softmax; every query must keep a row.
    """
    scaled_BD = queries_BD / temperature
    left_out_M2 = left_out_M2[torch.argsort(left_out_M2[:, 1])]
    peak_B = queries_BD.new_full((len(queries_BD),), -torch.inf)
    mass_B = queries_BD.new_zeros(len(queries_BD))
    mean_BD = torch.zeros_like(queries_BD)
    buffer = queries_BD.new_empty(len(queries_BD), min(block_rows, len(bank_ND)))
    starts = range(0, len(bank_ND), block_rows)
    edges = torch.tensor([*starts, len(bank_ND)], device=left_out_M2.device)
    cuts = torch.searchsorted(left_out_M2[:, 1].contiguous(), edges).tolist()
    for number, start in enumerate(starts):
        block_CD = bank_ND[start : start + block_rows].to(queries_BD.device, queries_BD.dtype)
        logits_BC = buffer[:, : len(block_CD)]
        torch.mm(scaled_BD, block_CD.T, out=logits_BC)
        pairs = left_out_M2[cuts[number] : cuts[number + 1]]
        if len(pairs):
            logits_BC[pairs[:, 0], pairs[:, 1] - start] = -torch.inf
        new_peak_B = torch.maximum(peak_B, logits_BC.amax(dim=1))
        # Where every row so far is left out the peak is still -inf, and -inf minus -inf is no number.
        shift_B = new_peak_B.clamp_min(torch.finfo(new_peak_B.dtype).min)
        weights_BC = logits_BC.sub_(shift_B[:, None]).exp_()
        fade_B = torch.exp(peak_B - shift_B)
        mass_B.mul_(fade_B).add_(weights_BC.sum(dim=1))
        if number and bool((fade_B != 1).any()):
            mean_BD.mul_(fade_B[:, None])
        mean_BD.addmm_(weights_BC, block_CD)
        peak_B = new_peak_B
    return SoftmaxParts(peak_B, mass_B, mean_BD)


class _BankSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, queries_BD: Tensor, bank_ND: Tensor, targets_BD: Tensor, left_out_M2: Tensor, temperature: Tensor
    ) -> Tensor:
        tau = float(temperature)
        parts = softmax_parts(queries_BD, bank_ND, left_out_M2, tau)
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
    queries_BD: Tensor, bank_ND: Tensor, target_rows_B: Tensor, left_out_M2: Tensor, temperature: Tensor
) -> Tensor:
    """(B,) losses ``log Σ_j exp(q·g_j / τ) − q·g_target / τ`` over the bank rows g_j that are not left out.

    Gradients flow to the queries and the temperature, never to the bank.

    Args:
        queries_BD: float32 (or float64) queries.
        bank_ND: frozen candidates, any float type, possibly memory-mapped.
        target_rows_B: int64 row of each query's target in the bank.
        left_out_M2: int64 (query, bank row) pairs that are no negatives; must not contain a query's own target.
        temperature: scalar tensor.
    """
    targets_BD = bank_ND[target_rows_B.to(bank_ND.device)].to(queries_BD.device, queries_BD.dtype)
    losses_B: Tensor = _BankSoftmax.apply(queries_BD, bank_ND, targets_BD, left_out_M2, temperature)
    return losses_B
