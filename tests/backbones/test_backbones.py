"""What every backbone, with every composer, must do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from spn4cir_core.backbones.base import BACKBONES, COMPOSERS, Backbone, Network
from spn4cir_core.recipe import merge
from tests.backbones.small_backbones import OTHER_INPUTS, names_of

TEXTS = ["make it red", "a much longer text about a small blue circle at the top"]
KINDS = sorted(BACKBONES.members)
CASES = [
    (kind, composer)
    for kind in KINDS
    for composer in (sorted(COMPOSERS.members) if "composer" in BACKBONES.member(kind).model_fields else [None])
]
SmallTable = Callable[[str], dict[str, Any]]


def table(small: dict[str, Any], composer: str | None) -> dict[str, Any]:
    return small if composer is None else {**small, "composer": {"kind": composer}}


@pytest.fixture(params=CASES, ids=lambda case: "-".join(filter(None, case)))
def backbone(request: pytest.FixtureRequest, small_table: SmallTable) -> Backbone:
    kind, composer = request.param
    built: Backbone = BACKBONES.build(table(small_table(kind), composer))
    return built


def module(network: Network) -> nn.Module:
    assert isinstance(network, nn.Module)
    return network.eval()


def parameters(parts: Sequence[nn.Module | nn.Parameter]) -> list[nn.Parameter]:
    return [held for part in parts for held in (part.parameters() if isinstance(part, nn.Module) else [part])]


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
    for name, vectors in encoded.items():
        several = name == "target" and network.target_tokens > 1
        assert vectors.shape == ((2, network.target_tokens, network.dim) if several else (2, network.dim))
        torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(vectors.shape[:-1]))
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
            network.untie_query_encoder()
        again = backbone.restore(network.state())
        module(again).load_state_dict(module(network).state_dict())
        before, after = encode(network), encode(again)
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_parting_the_query_encoder_changes_no_encoding_and_frees_the_targets(backbone: Backbone) -> None:
    network = backbone.build(TEXTS, 0)
    module(network)
    before = encode(network)
    network.untie_query_encoder()
    parted = encode(network)
    assert all(torch.equal(before[name], parted[name]) for name in before)
    frozen = {id(parameter) for parameter in parameters(network.frozen_in_stage2())}
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


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_are_shared_between_composers_and_not_between_ways_of_reading(
    kind: str, small_table: SmallTable
) -> None:
    small = small_table(kind)
    one, other_inputs = BACKBONES.build(small), BACKBONES.build(merge(small, OTHER_INPUTS[kind]))
    assert one.inputs_fingerprint() != other_inputs.inputs_fingerprint()
    assert one.fingerprint() != other_inputs.fingerprint()
    if (kind, "combiner") in CASES:
        other = BACKBONES.build(table(small, "combiner"))
        assert one.fingerprint() != other.fingerprint()
        assert one.inputs_fingerprint() == other.inputs_fingerprint()


def step_once(network: Network, frozen: Sequence[nn.Module | nn.Parameter]) -> set[str]:
    """One step of plain gradient descent, as the loop takes it; names of the parameters that moved."""
    module(network).train()
    for part in frozen:
        part.requires_grad_(False)
        if isinstance(part, nn.Module):
            part.eval()
    before = {name: value.clone() for name, value in module_state(network).items()}
    images, tokens = torch.from_numpy(network.read_images(pictures())), network.tokenize(TEXTS)
    torch.manual_seed(0)
    queries, targets = network.encode_query(images, tokens), network.encode_target(images).reshape(2, -1, network.dim)
    scores = torch.einsum("qd,ktd->qkt", queries, targets).amax(-1)
    torch.nn.functional.cross_entropy(scores / 0.1, torch.tensor([1, 0])).backward()
    with torch.no_grad():
        for parameter in module_parameters(network):
            if parameter.requires_grad and parameter.grad is not None:
                parameter -= parameter.grad / (parameter.grad.norm() + 1e-9)
    module(network)
    return {name for name, value in module_state(network).items() if not torch.equal(value, before[name])}


def module_state(network: Network) -> dict[str, torch.Tensor]:
    assert isinstance(network, nn.Module)
    return network.state_dict()


def module_parameters(network: Network) -> list[nn.Parameter]:
    assert isinstance(network, nn.Module)
    return list(network.parameters())


def test_a_step_of_each_stage_moves_what_it_trains_and_nothing_frozen(backbone: Backbone) -> None:
    network = backbone.build(TEXTS, 0)
    frozen = names_of(network, network.frozen_in_stage1())
    moved = step_once(network, network.frozen_in_stage1())
    assert moved and not moved & frozen
    start = backbone.build(TEXTS, 0)
    start.untie_query_encoder()
    before = encode(start)
    frozen = names_of(start, start.frozen_in_stage2())
    moved = step_once(start, start.frozen_in_stage2())
    assert not moved & frozen
    after = encode(start)
    assert torch.equal(after["target"], before["target"])
    assert bool(moved) == (not torch.equal(after["composed"], before["composed"]))
    assert moved


def test_features_stand_for_the_pictures_they_were_made_of(backbone: Backbone) -> None:
    network = backbone.build(TEXTS, 0)
    module(network)
    images, tokens = torch.from_numpy(network.read_images(pictures())), network.tokenize(TEXTS)
    for parted in (False, True):
        if parted:
            network.untie_query_encoder()
        with torch.no_grad():
            features = network.image_features(images)
            if features is None:
                return
            assert features.is_floating_point()
            assert not images.is_floating_point() or images.shape[1:] != features.shape[1:], "they can be told apart"
            assert torch.equal(network.encode_target(features), network.encode_target(images))
            assert torch.equal(network.encode_query(features, tokens), network.encode_query(images, tokens))
            assert torch.equal(network.encode_query(features, None), network.encode_query(images, None))


def test_texts_told_of_before_encode_as_texts_that_come_as_a_surprise(backbone: Backbone) -> None:
    surprised, warm = backbone.build(TEXTS, 0), backbone.build(TEXTS, 0)
    warm.expect_texts([*TEXTS, "make it blue", "make it pink"])
    module(surprised), module(warm)
    with torch.no_grad():
        expected = surprised.encode_query(None, surprised.tokenize(TEXTS))
        torch.testing.assert_close(warm.encode_query(None, warm.tokenize(TEXTS)), expected, rtol=1e-4, atol=1e-5)
