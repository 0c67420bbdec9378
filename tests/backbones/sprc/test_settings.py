"""SPRC against transformers' own BLIP-2 and against slow readings of its description."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from spn4cir_core.backbones.blip_tokens import without_punctuation
from spn4cir_core.backbones.sprc.network import SprcNetwork
from spn4cir_core.errors import InputError
from tests.backbones.blip_models import DIM, QUERIES, SIDE_PX, backbone, save_blip2

SmallTable = Callable[[str], dict[str, Any]]
TEXTS = ["make it red", "remove the small blue circle at the top"]


@pytest.fixture(scope="module")
def network(small_table: SmallTable) -> SprcNetwork:
    made = backbone(small_table("sprc")).build([], 0)
    assert isinstance(made, SprcNetwork)
    return made


@pytest.fixture(scope="module")
def pixels(network: SprcNetwork) -> torch.Tensor:
    drawn = np.random.default_rng(0).integers(0, 256, (2, 50, 60, 3), dtype=np.uint8)
    return torch.from_numpy(network.read_images([Image.fromarray(picture) for picture in drawn]))


@pytest.fixture(scope="module")
def theirs(small_table: SmallTable) -> Any:
    from transformers import Blip2ForImageTextRetrieval

    return Blip2ForImageTextRetrieval.from_pretrained(small_table("sprc")["model"]).eval()


def normal(pixels: torch.Tensor) -> torch.Tensor:
    from spn4cir_core.backbones.pixels import normalised

    return normalised(pixels, torch.float32)


def test_targets_and_texts_alone_are_those_of_transformers(
    network: SprcNetwork, theirs: Any, pixels: torch.Tensor
) -> None:
    tokens = network.tokenize(TEXTS)
    with torch.no_grad():
        expected = theirs(pixel_values=normal(pixels), input_ids=tokens, attention_mask=(tokens != 0).long())
        targets = network.encode_target(pixels)
        torch.testing.assert_close(targets, expected.image_embeds)
        torch.testing.assert_close(network.encode_query(None, tokens), expected.text_embeds)
        mean = targets.mean(dim=1)
        torch.testing.assert_close(network.encode_query(pixels, None), mean / mean.norm(dim=1, keepdim=True))
    assert targets.shape == (2, QUERIES, DIM) == (2, network.target_tokens, network.dim)


def slow_query(theirs: Any, pixels_1CHW: torch.Tensor, ids: list[int]) -> torch.Tensor:
    """One query, read as the description has it, without padding and with transformers' own parts."""
    tokens = torch.tensor([ids])
    visual = theirs.vision_model(normal(pixels_1CHW)).last_hidden_state
    beside = theirs.embeddings(input_ids=tokens, query_embeds=theirs.query_tokens)
    seen = theirs.qformer(query_embeds=beside, query_length=QUERIES, encoder_hidden_states=visual).last_hidden_state
    again = theirs.embeddings(input_ids=tokens, query_embeds=seen[:, :QUERIES])
    hidden = theirs.qformer(query_embeds=again, query_length=0).last_hidden_state
    return normalize(theirs.text_projection(hidden[0, QUERIES]), dim=0)


def test_a_query_is_read_twice(network: SprcNetwork, theirs: Any, pixels: torch.Tensor) -> None:
    tokens = network.tokenize(TEXTS)
    with torch.no_grad():
        queries = network.encode_query(pixels, tokens)
        for row in range(2):
            ids = [number for number in tokens[row].tolist() if number]
            torch.testing.assert_close(queries[row], slow_query(theirs, pixels[row : row + 1], ids))


def test_prompts_are_always_made_with_the_text_at_hand(small_table: SmallTable, pixels: torch.Tensor) -> None:
    network = backbone(small_table("sprc")).build([], 0)
    assert isinstance(network, SprcNetwork)
    network.untie_query_encoder()
    with torch.no_grad():
        stored = network.image_features(pixels)
        for text in (*TEXTS, TEXTS[0]):
            tokens = network.tokenize([text, text])
            fresh = network.former.read(network.prompts(pixels, tokens), tokens, network.words.mask(tokens))
            assert torch.equal(network.encode_query(stored, tokens), fresh)
        one, other = (network.prompts(stored, network.tokenize([text, text])) for text in TEXTS)
        assert not torch.allclose(one, other, atol=1e-3)


def test_stage_2_trains_what_reads_without_an_image_and_nothing_else(
    small_table: SmallTable, pixels: torch.Tensor
) -> None:
    network = backbone(small_table("sprc")).build([], 0)
    assert isinstance(network, SprcNetwork)
    network.untie_query_encoder()
    for part in network.frozen_in_stage2():
        part.requires_grad_(False)
    (network.encode_query(pixels, network.tokenize(TEXTS)) * torch.randn(2, DIM)).sum().backward()  # type: ignore[no-untyped-call]
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    moved = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert learning == moved, "every parameter that is to be trained has a gradient"
    assert all(name.startswith("query_former.") for name in learning)
    assert not any("crossattention" in name or "_query." in name.removeprefix("query_former.") for name in learning)


def test_prompt_tokens_read_within_the_text_stand_behind_its_first_token(network: SprcNetwork) -> None:
    tokens = network.tokenize([TEXTS[0]])
    prompts = network.prompt_tokens
    with torch.no_grad():
        text = network.former.embeddings(input_ids=tokens)
        row = torch.cat([text[0, :1], prompts[0], text[0, 1:]])[None]
        hidden = network.former.qformer(query_embeds=row, query_length=0).last_hidden_state
        expected = normalize(network.former.text_projection(hidden[:, 0]), dim=-1)
        output = network.former.read_within(prompts, tokens, network.words.mask(tokens))
    torch.testing.assert_close(output, expected)


def test_texts_are_processed_as_published() -> None:
    assert without_punctuation('Make it "RED" (or blue)!  Now: #1~;*.') == "make it red or blue now 1"
    assert without_punctuation("a b c d", 2) == "a b"
    assert without_punctuation("what's half-way, then?") == "what's half-way, then?"


def test_half_precision_trunk_is_near_the_whole_one(small_table: SmallTable, pixels: torch.Tensor) -> None:
    whole, narrow = (
        backbone(small_table("sprc"), vision_dtype=dtype).build([], 0) for dtype in ("float32", "bfloat16")
    )
    with torch.no_grad():
        features = narrow.image_features(pixels)
        assert features is not None and features.dtype == torch.bfloat16
        cosines = (whole.encode_target(pixels) * narrow.encode_target(pixels)).sum(-1)
    assert cosines.min() > 0.98
    assert whole.encode_target(features.float()).dtype == torch.float32


def test_another_picture_size_interpolates_the_positions(small_table: SmallTable) -> None:
    larger = backbone(small_table("sprc"), image_px=2 * SIDE_PX).build([], 0)
    features = larger.image_features(torch.zeros(1, 3, 2 * SIDE_PX, 2 * SIDE_PX, dtype=torch.uint8))
    assert features is not None and features.shape[1] == 1 + 16


def test_a_captioning_model_is_refused(tmp_path: Path) -> None:
    save_blip2(tmp_path, use_qformer_text_input=False)
    with pytest.raises(InputError, match="reads no texts"):
        backbone({"kind": "sprc", "model": str(tmp_path)}).build([], 0)


def test_views_of_the_prompts_are_those_of_the_description(small_table: SmallTable, pixels: torch.Tensor) -> None:
    network = backbone(small_table("sprc")).build([], 0)
    assert isinstance(network, SprcNetwork)
    tokens = network.tokenize(TEXTS)
    outputs = network.extra_outputs(network.output_names, pixels, tokens, lambda: pixels)
    assert outputs.keys() == network.output_names
    texts, distances = outputs["prompt_text_queries"], outputs["prompt_distances"]
    fused = network.prompts(pixels, tokens)
    for row in range(2):
        means = fused[row].mean(dim=0), network.prompt_tokens[0].mean(dim=0)
        torch.testing.assert_close(distances[row], torch.nn.functional.mse_loss(*means))
    distances.sum().backward(retain_graph=True)  # type: ignore[no-untyped-call]
    assert network.prompt_tokens.grad is None and network.query_tokens.grad is not None
    texts.square().sum().backward()  # type: ignore[no-untyped-call]
    assert network.prompt_tokens.grad is not None
    assert not torch.allclose(texts, network.encode_query(None, tokens), atol=1e-3)
