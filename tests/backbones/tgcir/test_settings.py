from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from spn4cir_core.backbones.tgcir.settings import TgCir
from spn4cir_core.errors import RecipeError
from tests.backbones.small_backbones import TINY_RESNET, write_clip

SmallTable = Callable[[str], dict[str, Any]]
TEXTS = ["make it red", "a longer text about a blue circle"]


def without_kind(table: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name != "kind"}


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
    network.untie_query_encoder()
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
        for tokens, vectors in (
            (image, network.encode_target(images)),
            (fused, network.encode_query(images, tokens_BP)),
            (image, network.encode_query(images, None)),
            (text, network.encode_query(None, tokens_BP)),
        ):
            mean = torch.stack(tokens).mean(0)
            torch.testing.assert_close(vectors[row], mean / mean.norm(), rtol=1e-4, atol=1e-5)


def test_the_teacher_is_that_of_the_description(small_table: SmallTable) -> None:
    """Composition with the target in sight, and the three distances, token by token."""
    network = TgCir.model_validate({**without_kind(small_table("tgcir")), "teacher": True}).build([], 0).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 50, 60, 3), dtype=np.uint8)
    images = torch.from_numpy(network.read_images([Image.fromarray(one) for one in pixels]))
    tokens_BP, teacher = network.tokenize(TEXTS), network.teacher
    assert teacher is not None
    outputs = network.extra_outputs(network.output_names, images[:2], tokens_BP, lambda: images[2:])
    assert outputs.keys() == network.output_names
    queries, terms = outputs["teacher_queries"], outputs["teacher_terms"]
    references, targets = network.image_features(images[:2]), network.image_features(images[2:])
    texts = network._text_tokens(tokens_BP)
    for row in range(2):
        fused, sums, distances = [], [], []
        for reference, text, target in zip(references[row], texts[row], targets[row], strict=True):
            remain = torch.sigmoid(teacher.remain(torch.cat([reference, target])))
            replaced = torch.sigmoid(teacher.replace(torch.cat([text, target])))
            share = torch.sigmoid(network.s_remain_map(torch.cat([reference, text])))
            fused.append(remain * reference + replaced * text)
            sums.append((remain + replaced - 1) ** 2)
            distances.append((share - remain) ** 2)
        overlaps = 0.0
        for several in (references[row], texts[row], targets[row]):
            cosines = [[(one @ two / one.norm() / two.norm()).item() for two in several] for one in several]
            overlaps += np.mean([(cosines[i][j] - (i == j)) ** 2 for i in range(7) for j in range(7)])
        mean = torch.stack(fused).mean(0)
        torch.testing.assert_close(queries[row], mean / mean.norm(), rtol=1e-4, atol=1e-5)
        wanted = [torch.stack(sums).mean().item(), overlaps, torch.stack(distances).mean().item()]
        torch.testing.assert_close(terms[row], torch.tensor(wanted, dtype=torch.float32), rtol=1e-4, atol=1e-5)
    terms[:, 2].sum().backward(retain_graph=True)
    assert not any(parameter.grad.any() for parameter in teacher.parameters()), "the student comes to the teacher"
    assert network.s_remain_map[0].weight.grad.any()
    (queries.sum() + terms.sum()).backward()
    assert all(parameter.grad.any() for parameter in teacher.parameters())


def test_a_teacher_changes_nothing_else(small_table: SmallTable) -> None:
    table = without_kind(small_table("tgcir"))
    plain, taught = (TgCir.model_validate({**table, "teacher": teacher}) for teacher in (False, True))
    assert plain.fingerprint() == TgCir.model_validate(table).fingerprint() != taught.fingerprint()
    assert plain.restoring_fingerprint() != taught.restoring_fingerprint()
    weights, others = plain.build([], 0).state_dict(), taught.build([], 0).state_dict()
    assert {name.split(".")[0] for name in others.keys() - weights.keys()} == {"teacher"}
    assert all(torch.equal(others[name], value) for name, value in weights.items())
    assert plain.build([], 0).output_names == taught.build([], 0).output_names - {"teacher_queries", "teacher_terms"}


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
