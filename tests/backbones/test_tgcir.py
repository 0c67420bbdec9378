from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from spn4cir_core.backbones.tgcir import TgCir
from spn4cir_core.errors import RecipeError
from tests.backbones.small_backbones import TINY_RESNET, write_clip

SmallTable = Callable[[str], dict[str, Any]]
TEXTS = ["make it red", "a longer text about a blue circle"]


def slow_tokens(pooled_D: Any, states_PW: Any, linear: Any, masks: Any, learner: Any) -> list[torch.Tensor]:
    """Global tokens, then local ones, written out."""
    tokens = [pooled_D * mask.clamp(min=0) for mask in masks]
    features = [linear(state) for state in states_PW]
    for weight, bias in zip(learner.weigh.weight, learner.weigh.bias, strict=True):
        total = torch.zeros_like(features[0])
        for feature in features:
            total += torch.sigmoid(feature @ weight + bias) * feature
        tokens.append(total / len(features))
    return tokens


@torch.no_grad()
def test_query_and_target_are_those_of_the_description(small_table: SmallTable) -> None:
    network = TgCir.model_validate({"model": small_table("tgcir")["model"], "local_tokens": 3}).build([], 0).eval()
    network.part_query_encoder()
    for parameter in network.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 50, 60, 3), dtype=np.uint8)
    images = torch.from_numpy(network.read_images([Image.fromarray(one) for one in pixels]))
    clip, visual, tokens_BP = network.clip, network.clip.visual, network.tokenize(TEXTS)
    seen: list[torch.Tensor] = []
    hook = visual.ln_post.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    pooled_BD = clip.encode_image(network.pixels(images))
    hook.remove()
    states = clip.token_embedding(tokens_BP) + clip.positional_embedding
    read_BPW = clip.ln_final(clip.transformer(states, attn_mask=clip.attn_mask))
    said_BD = clip.encode_text(tokens_BP)
    assert tokens_BP.shape == (2, 77) and seen[0].shape == (2, 17, 32)
    for row in range(2):
        image = slow_tokens(pooled_BD[row], seen[0][row], network.fc, network.masks, network.tokenlearn)
        text = slow_tokens(said_BD[row], read_BPW[row], network.text_fc, network.masks_text, network.tokenlearn_text)
        fused = []
        for reference, modified in zip(image, text, strict=True):
            share = torch.sigmoid(network.s_remain_map(torch.cat([reference, modified])))
            fused.append(share * reference + (1 - share) * modified)
        for tokens, found in (
            (image, network.encode_target(images)),
            (fused, network.encode_query(images, tokens_BP)),
            (image, network.encode_query(images, None)),
            (text, network.encode_query(None, tokens_BP)),
        ):
            mean = torch.stack(tokens).mean(0)
            torch.testing.assert_close(found[row], mean / mean.norm(), rtol=1e-4, atol=1e-5)


def test_masks_start_on_their_own_part(small_table: SmallTable) -> None:
    masks = TgCir.model_validate({"model": small_table("tgcir")["model"]}).build([], 0).masks
    assert masks.shape == (4, 16)
    for row, mask in enumerate(masks.detach()):
        assert (mask[4 * row : 4 * row + 4] == 1).all() and mask.sum() == pytest.approx(4 + 12 * 0.1)


def test_a_clip_without_a_vision_transformer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="tokens of OpenAI's vision transformer"):
        TgCir.model_validate({"model": str(write_clip(tmp_path / "clip", **TINY_RESNET))}).build([], 0)
    with pytest.raises(RecipeError, match="global_tokens = 3 does not divide the 16 dimensions"):
        TgCir.model_validate({"model": str(write_clip(tmp_path / "vit")), "global_tokens": 3}).build([], 0)
