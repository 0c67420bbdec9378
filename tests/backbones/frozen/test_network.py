"""The untrained network is the encoder as it is downloaded; its texts come from the store; dimensions that change."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from spn4cir_core.backbones.base import BACKBONES
from spn4cir_core.backbones.byte_tokens import BYTE_LIMIT
from spn4cir_core.backbones.frozen.network import FrozenNetwork, Texts, unit
from spn4cir_core.backbones.frozen.settings import Frozen
from spn4cir_core.embeddings.open_clip_encoder import OpenClipEncoder
from spn4cir_core.errors import InputError, RecipeError
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training.text_features import remember_texts
from tests.embeddings.small_models import write_open_clip

TEXTS = ["make it red", "größer, bitte"]
PICTURES = [Image.new("RGB", (40, 30), "red"), Image.new("RGB", (30, 40), "blue")]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_open_clip(tmp_path_factory.mktemp("clip"), 49408)


@pytest.fixture
def network(table: dict[str, Any]) -> FrozenNetwork:
    built = Frozen(encoder=OpenClipEncoder(**table), hidden=16).build([], 0)
    built.eval()
    return built


def test_untrained_it_is_the_sum_of_the_two_towers(network: FrozenNetwork, table: dict[str, Any]) -> None:
    encoder = OpenClipEncoder(**table)
    pictures, texts = unit(encoder.start()(PICTURES)), unit(encoder.start_texts()(TEXTS))
    images, tokens = torch.from_numpy(network.read_images(PICTURES)), network.tokenize(TEXTS)
    with torch.no_grad():
        np.testing.assert_allclose(network.encode_target(images).numpy(), pictures, atol=1e-6)
        np.testing.assert_allclose(network.encode_query(None, tokens).numpy(), texts, atol=1e-6)
        composed = network.encode_query(images, tokens).numpy()
    np.testing.assert_allclose(composed, unit(pictures + texts), atol=1e-6)


def test_texts_that_the_store_knows_do_not_load_the_encoder(
    network: FrozenNetwork, table: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    remember_texts(network, TEXTS, store)
    expected = network.texts.vectors(network.tokenize(TEXTS))

    def refuse(*_: object) -> None:
        raise AssertionError("the vectors are in the store")

    again = Texts(OpenClipEncoder(**table), network.dim)
    monkeypatch.setattr("spn4cir_core.backbones.frozen.network._started", refuse)
    network.texts = again
    remember_texts(network, TEXTS, store)
    torch.testing.assert_close(again.vectors(network.tokenize(TEXTS)), expected)


def test_a_cut_text_ends_with_a_whole_character(network: FrozenNetwork) -> None:
    long = "a" + "ö" * BYTE_LIMIT
    assert network.token_counts([long]) == [1 + 2 * BYTE_LIMIT]
    assert network.tokenize([long]).shape == (1, BYTE_LIMIT - 1)
    assert torch.isfinite(network.texts.vectors(network.tokenize([long, ""]))).all()


def test_a_picture_that_the_encoder_refuses_is_finite(network: FrozenNetwork) -> None:
    assert unit(np.array([[np.nan, 1.0], [3.0, 4.0]])).tolist() == [[0.0, 0.0], pytest.approx([0.6, 0.8])]
    with torch.no_grad():
        assert torch.isfinite(network.encode_target(torch.zeros(1, network.dim))).all()


def test_an_encoder_whose_dimension_has_changed_is_one_sentence(network: FrozenNetwork, table: dict[str, Any]) -> None:
    frozen = Frozen(encoder=OpenClipEncoder(**table), hidden=16)
    restored = frozen.restore({**network.state(), "dim": network.dim + 4})
    with pytest.raises(InputError, match=re.escape(f"made with vectors of {network.dim + 4} numbers, and its encoder")):
        restored.expect_texts(TEXTS)


def test_an_encoder_without_texts_is_refused() -> None:
    with pytest.raises(RecipeError, match="'lite0' reads no texts; take sentence_transformers or open_clip"):
        BACKBONES.build({"kind": "frozen", "encoder": {"kind": "lite0"}})
