"""Activations that are computed again give the gradients of those that are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from spn4cir_core.backbones.base import Network
from spn4cir_core.training.checkpoints import as_module
from tests.backbones.blip_models import backbone

TEXTS = ["make it red", "remove the small blue circle"]


def gradients(network: Network, parted: bool) -> tuple[dict[str, torch.Tensor], int]:
    """Of what a query trains, and how often a feed-forward layer was passed."""
    if parted:
        network.untie_query_encoder()
        for part in network.frozen_in_stage2():
            part.requires_grad_(False)
    module, passes = as_module(network).train(), []
    for name, part in module.named_modules():
        if name.endswith("layer.0.intermediate") and all(p.requires_grad for p in part.parameters()):
            part.register_forward_hook(lambda *_: passes.append(1))
    torch.manual_seed(0)
    images = torch.arange(2 * 3 * 32 * 32).reshape(2, 3, 32, 32).to(torch.uint8)
    queries = network.encode_query(images, network.tokenize(TEXTS))
    (queries * torch.linspace(-1, 1, queries.numel()).view_as(queries)).sum().backward()  # type: ignore[no-untyped-call]
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}, len(passes)


@pytest.mark.parametrize("parted", [False, True])
@pytest.mark.parametrize("kind", ["blip4cir", "sprc"])
def test_gradients_are_equal_and_layers_are_passed_again(
    small_table: Callable[[str], dict[str, Any]], kind: str, parted: bool
) -> None:
    plain, again = (backbone(small_table(kind), dropout=0.1).build([], 0) for _ in range(2))
    again.checkpoint_activations()
    if parted:
        again.untie_query_encoder()
        again.checkpoint_activations()
    expected, passes = gradients(plain, parted)
    gradients_again, more = gradients(again, parted)
    assert gradients_again.keys() == expected.keys() and expected
    for name in expected:
        torch.testing.assert_close(gradients_again[name], expected[name], rtol=1e-5, atol=1e-6)
    assert more == 2 * passes > 0
