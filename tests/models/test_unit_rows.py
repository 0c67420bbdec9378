from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from spn4cir_core.models.unit_rows import unit_rows


@pytest.mark.parametrize(("rows", "dim"), [(1, 1), (7, 5), (64, 130)])
def test_values_and_gradients_are_those_of_torch(rows: int, dim: int) -> None:
    random = torch.Generator().manual_seed(dim)
    own = torch.randn(rows, dim, generator=random).mul_(3).requires_grad_()
    exact = own.detach().double().requires_grad_()
    weights = torch.randn(rows, dim, generator=random)
    given, wanted = unit_rows(own), functional.normalize(exact, dim=-1)
    (given * weights).sum().backward()
    (wanted * weights.double()).sum().backward()
    torch.testing.assert_close(given.double(), wanted, rtol=1e-6, atol=1e-6)
    assert own.grad is not None and exact.grad is not None
    torch.testing.assert_close(own.grad.double(), exact.grad, rtol=1e-5, atol=1e-6)
    assert torch.autograd.gradcheck(unit_rows, exact)


def test_a_row_of_zeros_stays_one_and_short_formats_are_brought_to_float32() -> None:
    rows = torch.zeros(2, 4, requires_grad=True)
    unit_rows(rows).sum().backward()
    assert rows.grad is not None and bool(rows.grad.isfinite().all())
    assert not unit_rows(rows).any()
    half = unit_rows(torch.randn(3, 8).to(torch.bfloat16))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half.norm(dim=1), torch.ones(3))
