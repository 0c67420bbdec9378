from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from spn4cir_core.backbones.base import BACKBONES
from spn4cir_core.backbones.clip4cir.settings import Clip4Cir
from spn4cir_core.errors import InputError, RecipeError
from tests.backbones.small_backbones import TINY_RESNET, write_clip

SmallTable = Callable[[str], dict[str, Any]]
TEXTS = ["make it red", "is a much longer text, with a small blue circle", ""]


def pictures() -> list[Image.Image]:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 90, 3), dtype=np.uint8)
    return [Image.fromarray(one) for one in pixels]


def test_a_query_is_the_sum_of_raw_features_as_open_clip_gives_them(small_table: SmallTable) -> None:
    import open_clip

    table = small_table("clip4cir")
    network = Clip4Cir.model_validate({"model": table["model"]}).build([], 0).eval()
    reference = open_clip.create_model(f"local-dir:{table['model']}").eval()
    images = torch.from_numpy(network.read_images(pictures()))
    with torch.no_grad():
        pixels = network.pixels(images)
        image_BD, text_BD = reference.encode_image(pixels), reference.encode_text(open_clip.tokenize(TEXTS))
        expected = functional.normalize(image_BD + text_BD, dim=-1)
        tokens = network.tokenize(TEXTS)
        assert tokens.shape[1] < 20  # not padded to 77: the tower is causal
        torch.testing.assert_close(network.encode_query(images, tokens), expected)
        torch.testing.assert_close(network.encode_target(images), functional.normalize(image_BD, dim=-1))


def test_long_texts_are_cut_as_open_clip_cuts_them(small_table: SmallTable) -> None:
    import open_clip

    network = Clip4Cir.model_validate({"model": small_table("clip4cir")["model"]}).build([], 0)
    texts = ["red circle " * 60, "short"]
    assert network.token_limit == 77 and network.token_counts(texts) == [122, 3]
    assert torch.equal(network.tokenize(texts), open_clip.tokenize(texts))


def test_batch_norms_keep_their_running_statistics_and_the_resnet_trains(tmp_path: Path) -> None:
    network = Clip4Cir.model_validate({"model": str(write_clip(tmp_path / "clip", **TINY_RESNET))}).build([], 0)
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.from_numpy(network.read_images(pictures()))
    assert images.shape == (3, 3, 64, 64)
    loss = (network.encode_query(images, network.tokenize(TEXTS)) @ network.encode_target(images).T).trace()
    loss.backward()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.clip.visual.bn1.weight.grad.abs().sum() > 0
    assert network.clip.logit_scale.grad is None


def test_activations_computed_again_give_the_same_gradients(small_table: SmallTable) -> None:
    gradients = []
    for again in (False, True):
        network = Clip4Cir.model_validate({"model": small_table("clip4cir")["model"]}).build([], 0).train()
        if again:
            network.checkpoint_activations()
        images = torch.from_numpy(network.read_images(pictures()))
        network.encode_query(images, network.tokenize(TEXTS)).sum().backward()
        gradients.append({name: value.grad for name, value in network.named_parameters() if value.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def test_a_composer_can_be_trained_on_a_clip_that_stays(small_table: SmallTable) -> None:
    table = {**small_table("clip4cir"), "composer": {"kind": "combiner", "hidden": 8}, "stage1_trains": "composer"}
    network = BACKBONES.build(table).build([], 0)
    for part in network.frozen_in_stage1():
        part.requires_grad_(False)
    names = {name for name, value in network.named_parameters() if value.requires_grad}
    assert names and all(name.startswith("composer.") for name in names)
    assert network.keeps_features_in_stage1
    assert not BACKBONES.build(small_table("clip4cir")).build([], 0).keeps_features_in_stage1


def test_a_tower_of_another_kind_reads_texts_in_full(tmp_path: Path) -> None:
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1, "no_causal_mask": True}
    network = Clip4Cir.model_validate({"model": str(write_clip(tmp_path / "clip", text_cfg=text))}).build([], 0).eval()
    tokens = network.tokenize(TEXTS)
    with torch.no_grad():
        whole = network.clip.encode_text(functional.pad(tokens, (0, 16 - tokens.shape[1])))
        torch.testing.assert_close(network.encode_query(None, tokens), functional.normalize(whole, dim=-1))


def test_openai_weights_get_quick_gelu_whatever_the_name() -> None:
    for model in ("RN50x4", "RN50x4-quickgelu"):
        described = Clip4Cir.model_validate({"model": model}).described()
        assert described["model_cfg"]["quick_gelu"] is True and described["image_px"] == 288
    laion = Clip4Cir.model_validate({"model": "ViT-B-32", "pretrained": "laion2b_s34b_b79k"})
    assert not laion.described()["model_cfg"].get("quick_gelu", False)


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ({"model": "ViT-B-33"}, RecipeError, "open_clip has no model 'ViT-B-33'"),
        ({"model": "ViT-B-32", "pretrained": "opnai"}, RecipeError, "its tags: openai"),
        ({"model": "/nowhere/clip"}, InputError, "no open_clip model at"),
        ({"model": "/nowhere/clip", "pretrained": "openai"}, RecipeError, "leave out pretrained"),
        (
            {"model": "xlm-roberta-base-ViT-B-32", "pretrained": "laion5b_s13b_b90k"},
            RecipeError,
            "reads texts with parts from elsewhere",
        ),
    ],
)
def test_a_model_that_cannot_be_had_is_named(table: dict[str, str], error: type[Exception], message: str) -> None:
    backbone = Clip4Cir.model_validate(table)
    with pytest.raises(error, match=message):
        backbone.fingerprint()
        backbone.build([], 0)


def test_weights_of_another_model_are_refused(small_table: SmallTable, tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "clip")
    torch.save({"visual.proj": torch.zeros(2, 2)}, folder / "weights.pt")
    (folder / "open_clip_model.safetensors").unlink()
    (folder / "weights.pt").rename(folder / "open_clip_pytorch_model.bin")
    with pytest.raises(
        InputError, match=r"does not hold the weights of open_clip's .*1 of another shape: visual\.proj"
    ):
        Clip4Cir.model_validate({"model": str(folder)}).build([], 0)


def test_other_weights_behind_a_path_are_another_backbone_and_checkpoints_need_neither(tmp_path: Path) -> None:
    backbone = Clip4Cir.model_validate({"model": str(write_clip(tmp_path / "clip"))})
    before, restoring = backbone.fingerprint(), backbone.restoring_fingerprint()
    state, shape = backbone.build([], 0).state(), backbone.build([], 0).state_dict().keys()
    torch.manual_seed(1)
    import open_clip
    from safetensors.torch import save_file

    weights = open_clip.CLIP(**state["model_cfg"]).state_dict()
    save_file(weights, str(tmp_path / "clip" / "open_clip_model.safetensors"))
    assert backbone.fingerprint() != before and backbone.restoring_fingerprint() == restoring
    (tmp_path / "clip").rename(tmp_path / "gone")
    assert backbone.restore(state).state_dict().keys() == shape
    assert backbone.restoring_fingerprint() == restoring


def test_a_hub_id_is_read_at_its_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    folder = write_clip(tmp_path / "clip")
    requests: list[tuple[str, str, str | None]] = []

    def download(repo: str, name: str, revision: str | None) -> str:
        requests.append((repo, name, revision))
        if not (folder / name).is_file():
            raise EntryNotFoundError(name)
        return str(folder / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    pinned = Clip4Cir.model_validate({"model": "hf-hub:owner/clip", "revision": "abc123"})
    network = pinned.build([], 0)
    assert {(repo, revision) for repo, _, revision in requests} == {("owner/clip", "abc123")}
    local = Clip4Cir.model_validate({"model": str(folder)}).build([], 0)
    assert all(torch.equal(value, local.state_dict()[name]) for name, value in network.state_dict().items())
    assert (
        pinned.fingerprint() != Clip4Cir.model_validate({"model": "hf-hub:owner/clip", "revision": "def"}).fingerprint()
    )
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(InputError, match="hf-hub:owner/clip has none of open_clip_model"):
        pinned.build([], 0)
