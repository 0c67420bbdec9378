"""The built-in backbone's words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from spn4cir_core.backbones.small.network import SmallNetwork
from spn4cir_core.backbones.small.settings import Small
from spn4cir_core.embeddings.vision_tower import VisionTower
from spn4cir_core.errors import InputError


@pytest.fixture(scope="module")
def network() -> SmallNetwork:
    network = Small().build(["add large blue star", "make red circle green"], seed=0)
    assert isinstance(network, SmallNetwork)
    return network


def encoded(network: SmallNetwork, *texts: str) -> torch.Tensor:
    with torch.no_grad():
        return network.encode_query(None, network.tokenize(texts))


def test_words_that_training_never_saw_change_nothing(network: SmallNetwork) -> None:
    said, known = encoded(network, "Add a large blue star, at the centre!", "add large blue star")
    assert torch.equal(said, known)


def test_a_text_of_unseen_words_alone_is_one_unknown_word(network: SmallNetwork) -> None:
    tokens = network.tokenize(["wholly other", "", "add"])
    assert tokens[0].tolist() == tokens[1].tolist() != tokens[2].tolist()
    assert torch.isfinite(encoded(network, "wholly other")).all()


FROZEN = VisionTower(pooling="flatten")


def test_a_frozen_encoder_reads_the_pictures_and_is_no_part_of_the_weights() -> None:
    backbone = Small(dim=8, encoder=FROZEN, encoder_tokens=9)
    network = backbone.build(["add red circle"], seed=0)
    pictures = [Image.new("RGB", (48, 48), colour) for colour in ("red", "blue")]
    inputs = network.read_images(pictures)
    raw = FROZEN.start()(pictures)
    np.testing.assert_allclose(inputs, raw / np.linalg.norm(raw, axis=1, keepdims=True), rtol=1e-5)
    assert isinstance(network, SmallNetwork) and not any("convolutions" in name for name in network.state_dict())
    restored = backbone.restore(network.state())
    assert isinstance(restored, SmallNetwork)
    restored.load_state_dict(network.state_dict())
    with torch.no_grad():
        images, tokens = torch.from_numpy(inputs), network.tokenize(["add red", "circle"])
        assert torch.equal(restored.encode_query(images, tokens), network.encode_query(images, tokens))
        assert network.image(images).tokens_BPW.shape[1] == 9


def test_a_vector_that_cannot_be_cut_into_the_tokens_is_refused() -> None:
    with pytest.raises(InputError, match="encoder_tokens = 7"):
        Small(encoder=FROZEN, encoder_tokens=7).build([], seed=0)


def test_a_network_without_an_encoder_has_the_fingerprint_that_it_had_before() -> None:
    assert Small().fingerprint() == "910852f7316950bf"
    assert Small(encoder=FROZEN, encoder_tokens=9).fingerprint() != Small(encoder_tokens=9).fingerprint()
