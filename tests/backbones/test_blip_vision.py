"""The frozen tower of both BLIP backbones, in whatever precision the rest is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import cosine_similarity

from spn4cir_core.training.checkpoints import as_module
from tests.backbones.blip_models import backbone

PIXELS = torch.arange(2 * 3 * 32 * 32).reshape(2, 3, 32, 32).to(torch.uint8)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["blip4cir", "sprc"])
def test_a_narrow_tower_trains_in_any_precision_and_gives_the_same_features(
    small_table: Callable[[str], dict[str, Any]], kind: str, precision: torch.dtype
) -> None:
    network = backbone(small_table(kind), vision_dtype="float16", dropout=0.0).build([], 0)
    tokens = network.tokenize(["make it red", "remove the small blue circle"])
    expected, whole = network.image_features(PIXELS), network.encode_query(PIXELS, tokens)
    assert expected is not None and expected.dtype == torch.float16
    with torch.autocast("cpu", precision):
        features, query = network.image_features(PIXELS), network.encode_query(PIXELS, tokens)
        targets = network.encode_target(PIXELS)
    assert torch.equal(features, expected)
    assert cosine_similarity(query.float(), whole, dim=-1).min() > 0.98
    (query.float().sum() + targets.float().sum()).backward()
    moved = [name for name, parameter in as_module(network).named_parameters() if parameter.grad is not None]
    assert moved and not any(name.startswith("vision_model.") for name in moved)


@pytest.mark.parametrize("kind", ["blip4cir", "sprc"])
def test_a_restored_network_keeps_its_tower_narrow(small_table: Callable[[str], dict[str, Any]], kind: str) -> None:
    made = backbone(small_table(kind), vision_dtype="float16")
    network = made.build([], 0)
    again = made.restore(network.state())
    as_module(again).load_state_dict(as_module(network).state_dict())
    weights, expected = as_module(again).state_dict(), as_module(network).state_dict()
    assert all(weights[name].dtype == expected[name].dtype for name in expected)
    assert torch.equal(again.encode_target(PIXELS), network.encode_target(PIXELS))
