"""Matrix products of float32 on a CPU by oneDNN, as convolutions are computed; elsewhere by torch's own.

Torch gives them to MKL, which leaves half of the vector units of processors idle that are not Intel's.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from typing_extensions import override


def product(rows_MK: Tensor, others_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """(M, N) products of each row with each of the others, plus the bias; gradients flow to all three."""
    if not _is_for_one_dnn(rows_MK, others_NK):
        return functional.linear(rows_MK, others_NK, bias_N)
    result_MN: Tensor = _Product.apply(rows_MK, others_NK, bias_N)
    return result_MN


class Linear(nn.Linear):
    """A linear layer that multiplies by :func:`product`."""

    @override
    def forward(self, input: Tensor) -> Tensor:
        """(B, D) in, (B, D') out."""
        return product(input, self.weight, self.bias)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows_MK: Tensor, others_NK: Tensor, bias_N: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows_MK, others_NK)
        return _multiplied(rows_MK, others_NK, bias_N)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (rows_MK, others_NK), (grad_MN,) = ctx.saved_tensors, grads
        for_rows, for_others, for_bias = ctx.needs_input_grad
        return (
            _multiplied(grad_MN, others_NK.T) if for_rows else None,
            _multiplied(grad_MN.T, rows_MK.T) if for_others else None,
            grad_MN.sum(0) if for_bias else None,
        )


def _multiplied(rows_MK: Tensor, others_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    result_MN: Tensor = torch.ops.mkldnn._linear_pointwise(rows_MK, others_NK, bias_N, "none", [], "")
    return result_MN


def _is_for_one_dnn(rows_MK: Tensor, others_NK: Tensor) -> bool:
    both = rows_MK, others_NK
    are_plain = all(t.ndim == 2 and t.numel() and t.dtype == torch.float32 and t.device.type == "cpu" for t in both)
    return are_plain and _has_one_dnn() and not torch.is_autocast_enabled("cpu") and not torch.compiler.is_exporting()


@cache
def _has_one_dnn() -> bool:
    is_available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return is_available and hasattr(torch.ops.mkldnn, "_linear_pointwise")
