"""BLIP4CIR against transformers' own BLIP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from spn4cir_core.backbones.blip4cir.network import Blip4CirNetwork
from spn4cir_core.backbones.pixels import normalised
from spn4cir_core.errors import InputError
from tests.backbones.blip_models import backbone, tokenizer

SmallTable = Callable[[str], dict[str, Any]]
TEXTS = ["make it red", "remove the small blue circle at the top"]


@pytest.fixture(scope="module")
def network(small_table: SmallTable) -> Blip4CirNetwork:
    made = backbone(small_table("blip4cir")).build([], 0)
    assert isinstance(made, Blip4CirNetwork)
    return made


@pytest.fixture(scope="module")
def theirs(small_table: SmallTable) -> Any:
    from transformers import BlipForImageTextRetrieval

    return BlipForImageTextRetrieval.from_pretrained(small_table("blip4cir")["model"]).eval()


def test_vectors_are_those_of_transformers_own_parts(network: Blip4CirNetwork, theirs: Any) -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (2, 50, 60, 3), dtype=np.uint8)
    pixels = torch.from_numpy(network.read_images([Image.fromarray(picture) for picture in drawn]))
    tokens = network.tokenize(TEXTS)
    assert tokens[0].tolist()[:5] == tokenizer()(TEXTS[0])["input_ids"]
    with torch.no_grad():
        visual = theirs.vision_model(normalised(pixels, torch.float32)).last_hidden_state
        torch.testing.assert_close(network.encode_target(pixels), normalize(theirs.vision_proj(visual[:, 0]), dim=-1))
        for row in range(2):
            ids = torch.tensor([[number for number in tokens[row].tolist() if number]])
            alone = theirs.text_encoder(input_ids=ids).last_hidden_state[:, 0]
            torch.testing.assert_close(
                network.encode_query(None, tokens)[row], normalize(theirs.text_proj(alone), dim=-1)[0]
            )
            ids[0, 0] = len(tokenizer()) + 1  # [DEC] and [ENC] follow BERT's vocabulary
            crossed = theirs.text_encoder(input_ids=ids, encoder_hidden_states=visual[row : row + 1])
            expected = normalize(theirs.text_proj(crossed.last_hidden_state[:, 0]), dim=-1)[0]
            torch.testing.assert_close(network.encode_query(pixels, tokens)[row], expected)


def test_encoding_a_query_leaves_its_tokens_as_they_were(network: Blip4CirNetwork) -> None:
    tokens = network.tokenize(TEXTS)
    before = tokens.clone()
    network.encode_query(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), tokens)
    assert torch.equal(tokens, before)


def test_the_vision_tower_gets_no_gradient_even_where_nothing_was_frozen(network: Blip4CirNetwork) -> None:
    query = network.encode_query(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), network.tokenize(TEXTS))
    query.sum().backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in network.vision_model.parameters())
    assert network.text_proj.weight.grad is not None
    network.zero_grad()


def test_a_folder_that_is_no_retrieval_model_is_refused(small_table: SmallTable, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a 'blip-2' model; this backbone needs 'blip'"):
        backbone({"kind": "blip4cir", "model": small_table("sprc")["model"]}).build([], 0)
    with pytest.raises(InputError, match="does not exist"):
        backbone({"kind": "blip4cir", "model": str(tmp_path / "gone")}).build([], 0)


def test_a_checkpoint_needs_nothing_from_outside(small_table: SmallTable) -> None:
    here = backbone(small_table("blip4cir"))
    elsewhere = backbone(small_table("blip4cir"), model="/gone")
    assert here.restoring_fingerprint() == elsewhere.restoring_fingerprint()
    network = here.build([], 0)
    again: Any = elsewhere.restore(network.state())
    again.load_state_dict(network.state_dict())  # type: ignore[attr-defined]
    tokens = network.tokenize(TEXTS)
    assert torch.equal(again.encode_query(None, tokens), network.encode_query(None, tokens))
