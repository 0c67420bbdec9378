"""Untrained it is the encoder as it is downloaded; what is trained and stored; models without fitting layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from spn4cir_core.backbones.base import BACKBONES
from spn4cir_core.backbones.lora.network import LoraNetwork
from spn4cir_core.backbones.lora.settings import Lora
from spn4cir_core.embeddings.sentence_transformers_encoder import SentenceTransformersEncoder
from spn4cir_core.errors import InputError, RecipeError

pytest.importorskip("sentence_transformers")
pytest.importorskip("peft")
TEXTS = ["a red dress", "a large blue shirt"]


def squares(side_px: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)) for _ in range(2)]


def built(table: dict[str, Any], **settings: Any) -> LoraNetwork:
    network = Lora(encoder=SentenceTransformersEncoder(**table), **{"image_px": 32, "rank": 2, **settings}).build([], 0)
    network.eval()
    return network


def unit(vectors_BD: np.ndarray) -> np.ndarray:
    rows: np.ndarray = vectors_BD / np.linalg.norm(vectors_BD, axis=1, keepdims=True)
    return rows


def test_untrained_two_towers_are_as_downloaded(two_towers: dict[str, Any]) -> None:
    network, encoder, pictures = built(two_towers), SentenceTransformersEncoder(**two_towers), squares(32)
    images, tokens = torch.from_numpy(network.read_images(pictures)), network.tokenize(TEXTS)
    of_pictures, of_texts = unit(encoder.start()(pictures)), unit(encoder.start_texts()(TEXTS))
    with torch.no_grad():
        np.testing.assert_allclose(network.encode_target(images).numpy(), of_pictures, atol=1e-5)
        np.testing.assert_allclose(network.encode_query(None, tokens).numpy(), of_texts, atol=1e-5)
        composed = network.encode_query(images, tokens).numpy()
    np.testing.assert_allclose(composed, unit(of_pictures + of_texts), atol=1e-5)


def test_an_untrained_query_goes_in_as_one_where_the_encoder_reads_both(composing: dict[str, Any]) -> None:
    encoder, pictures = SentenceTransformersEncoder(**composing, query_prompt="question :"), squares(64)
    network = Lora(encoder=encoder, image_px=64, rank=2).build([], 0)
    images, tokens = torch.from_numpy(network.read_images(pictures)), network.tokenize(TEXTS)
    own = unit(encoder.start_composed()(list(zip(pictures, TEXTS, strict=True))))
    with torch.no_grad():
        np.testing.assert_allclose(network.encode_query(images, tokens).numpy(), own, atol=1e-4)
        np.testing.assert_allclose(network.encode_target(images).numpy(), unit(encoder.start()(pictures)), atol=1e-4)


def test_gradients_reach_the_adapter_in_use_and_the_checkpoint_holds_adapters_alone(
    two_towers: dict[str, Any],
) -> None:
    network = built(two_towers)
    network.untie_query_encoder()
    images, tokens = torch.from_numpy(network.read_images(squares(32))), network.tokenize(TEXTS)
    network.target.requires_grad_(False)
    (network.encode_query(images, tokens) * network.encode_target(images)).sum().backward()
    assert network.query is not None
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in network.query.values())
    assert all(parameter.grad is None for parameter in network.target.values())
    assert all(name.startswith(("target.", "query.")) for name in network.state_dict())
    trained = sum(value.numel() for value in network.state_dict().values())
    assert trained < sum(parameter.numel() for parameter in network._encoder.model.parameters()) / 2


def test_layers_by_name(two_towers: dict[str, Any]) -> None:
    names = built(two_towers, layers=("q_proj", "v_proj")).state_dict()
    assert names and all("/q_proj/" in name or "/v_proj/" in name for name in names)
    with pytest.raises(InputError, match="has no linear layer named nothing or none, which an adapter needs"):
        built(two_towers, layers=("nothing", "none"))


def test_a_model_without_a_linear_layer_is_one_sentence(two_towers: dict[str, Any], tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    words = Tokenizer(WordLevel({"[UNK]": 0, "red": 1}, unk_token="[UNK]"))
    model = SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=8)], device="cpu")
    model.save(str(tmp_path / "static"), create_model_card=False)
    (tmp_path / "static" / "config.json").write_text("{}")
    with pytest.raises(InputError, match="has no linear layer, which an adapter needs; the backbone 'frozen'"):
        built({"model": str(tmp_path / "static")})


def test_another_encoder_is_refused() -> None:
    with pytest.raises(RecipeError, match="adapters go into a model of sentence-transformers, and not into 'lite0'"):
        BACKBONES.build({"kind": "lora", "encoder": {"kind": "lite0"}})
