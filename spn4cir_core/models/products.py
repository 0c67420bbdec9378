"""Matrix products of float32 on a CPU by oneDNN, as convolutions are computed; elsewhere by torch's own.

Torch gives them to MKL, which leaves half of the vector units of processors idle that are not Intel's.
In :func:`products_in` bfloat16 torch itself asks oneDNN.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from typing_extensions import override

from spn4cir_core.models.precision import FloatFormat


def product(rows_MK: Tensor, others_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """(M, N) products of each row with each of the others, plus the bias; gradients flow to all three."""
    if not _is_for_one_dnn(rows_MK, others_NK):
        return functional.linear(rows_MK, others_NK, bias_N)
    result_MN: Tensor = _Product.apply(rows_MK, others_NK, bias_N)
    return result_MN


@contextmanager
def products_in(number: FloatFormat) -> Iterator[None]:
    """Inside the block every matrix product of float32 on a CPU, torch's own too, takes its factors in this format.

    Sums, results and what is stored stay float32. For all threads of this process; nothing changes on another device,
    nor by a torch older than 2.9.
    """
    if not _rounds_factors():
        yield
        return
    products: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before, products.fp32_precision = products.fp32_precision, "bf16" if number == "bfloat16" else "ieee"
    try:
        yield
    finally:
        products.fp32_precision = before


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
    if not (are_plain and _has_one_dnn()) or torch.is_autocast_enabled("cpu") or torch.compiler.is_exporting():
        return False
    if not _rounds_factors():
        return True
    is_exact: bool = torch.backends.mkldnn.matmul.fp32_precision != "bf16"  # type: ignore[attr-defined]
    return is_exact


@cache
def _rounds_factors() -> bool:
    return _has_one_dnn() and hasattr(getattr(torch.backends.mkldnn, "matmul", None), "fp32_precision")


@cache
def _has_one_dnn() -> bool:
    is_available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return is_available and hasattr(torch.ops.mkldnn, "_linear_pointwise")
