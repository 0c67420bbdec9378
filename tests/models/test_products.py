"""Products by oneDNN: against torch's own, with gradients; and where they are left to torch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spn4cir_core.models.precision import has_bfloat16
from spn4cir_core.models.products import Linear, product, products_in


@pytest.mark.parametrize(("rows", "others", "features"), [(1, 1, 1), (7, 5, 3), (64, 33, 130)])
@pytest.mark.parametrize("transposed", [False, True])
def test_values_and_gradients_are_those_of_torch_in_float64(
    rows: int, others: int, features: int, transposed: bool
) -> None:
    random = torch.Generator().manual_seed(rows)
    inputs = [torch.randn(*shape, generator=random) for shape in ((rows, features), (others, features), (others,))]
    if transposed:
        inputs[:2] = [value.T.contiguous().T for value in inputs[:2]]
    own = [value.clone().requires_grad_() for value in inputs]
    exact = [value.double().requires_grad_() for value in inputs]
    weights = torch.randn(rows, others, generator=random)
    given, wanted = product(*own), exact[0] @ exact[1].T + exact[2]
    (given * weights).sum().backward()
    (wanted * weights.double()).sum().backward()
    torch.testing.assert_close(given.double(), wanted, rtol=1e-5, atol=1e-5)
    for value, oracle in zip(own, exact, strict=True):
        assert value.grad is not None and oracle.grad is not None
        torch.testing.assert_close(value.grad.double(), oracle.grad, rtol=1e-4, atol=1e-4)


def test_only_what_needs_a_gradient_gets_one() -> None:
    frozen, trained = torch.randn(4, 3), torch.randn(5, 3, requires_grad=True)
    product(frozen, trained).sum().backward()
    assert frozen.grad is None
    assert trained.grad is not None


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (torch.randn(2, 4, 3), torch.randn(5, 3)),
        (torch.randn(0, 3), torch.randn(5, 3)),
        (torch.randn(4, 3).double(), torch.randn(5, 3).double()),
        (torch.randn(4, 3).bfloat16(), torch.randn(5, 3).bfloat16()),
    ],
)
def test_other_shapes_and_types_are_torchs_own(left: Tensor, right: Tensor) -> None:
    assert torch.equal(product(left, right), nn.functional.linear(left, right))


def test_autocast_decides_the_type_of_a_layer() -> None:
    layer = Linear(3, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(4, 3)).dtype == torch.bfloat16
    assert layer(torch.randn(4, 3)).dtype == torch.float32
    assert layer.state_dict().keys() == nn.Linear(3, 5).state_dict().keys()


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
def test_factors_are_rounded_inside_the_block_alone_and_sums_are_not() -> None:
    left, right = torch.randn(64, 512), torch.randn(32, 512)
    exact = product(left.double(), right.double())
    with products_in("bfloat16"):
        rounded, plain = product(left, right), left @ right.T
        with products_in("float32"):
            assert (product(left, right) - exact).abs().max() < 1e-3
    of_rounded = product(left.bfloat16().double(), right.bfloat16().double())
    assert rounded.dtype == torch.float32 and torch.equal(rounded, plain)
    assert (rounded - of_rounded).abs().max() < 1e-3 < (rounded - exact).abs().max()
    assert (product(left, right) - exact).abs().max() < 1e-3


def test_the_format_of_before_comes_back_after_an_error() -> None:
    before = torch.backends.mkldnn.matmul.fp32_precision
    with pytest.raises(RuntimeError), products_in("bfloat16"):
        raise RuntimeError
    assert torch.backends.mkldnn.matmul.fp32_precision == before
