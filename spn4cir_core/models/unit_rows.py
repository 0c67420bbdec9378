"""Rows brought to norm 1, with few passes over them in training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from typing_extensions import override

LEAST_NORM = 1e-12
"""As of ``torch.nn.functional.normalize``: a row of zeros stays one."""


def unit_rows(rows_BD: Tensor) -> Tensor:
    """(B, D) rows of at least float32 divided by their norms.

    As torch's ``normalize``, whose gradient takes twice as many passes.
    """
    if torch.compiler.is_exporting():
        return functional.normalize(rows_BD, dim=-1)
    unit_BD: Tensor = _UnitRows.apply(rows_BD.float() if rows_BD.element_size() < 4 else rows_BD)
    return unit_BD


class _UnitRows(torch.autograd.Function):
    @staticmethod
    @override
    def forward(ctx: Any, rows_BD: Tensor) -> Tensor:
        norm_B1 = torch.linalg.vector_norm(rows_BD, dim=-1, keepdim=True).clamp_min_(LEAST_NORM)
        unit_BD: Tensor = rows_BD / norm_B1
        ctx.save_for_backward(unit_BD, norm_B1)
        return unit_BD

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """What a gradient has along its row does not change the unit row: ``(g − u (u · g)) / norm``."""
        (unit_BD, norm_B1), (grad_BD,) = ctx.saved_tensors, grads
        along_B1 = (grad_BD * unit_BD).sum(dim=-1, keepdim=True)
        across_BD: Tensor = torch.addcmul(grad_BD, unit_BD, along_B1, value=-1)
        across_BD.div_(norm_B1)
        return across_BD
