from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    CLIPVisionModel,
    ConvNextConfig,
    ConvNextModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ConvNextConfig,
    DINOv3ConvNextModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    InternVLVisionConfig,
    InternVLVisionModel,
    ResNetConfig,
    ResNetModel,
    SiglipConfig,
    SiglipModel,
    SiglipTextConfig,
    SiglipVisionConfig,
    SwinConfig,
    SwinModel,
    ViTConfig,
    ViTModel,
)

from spn4cir_core.embeddings.vision_tower import VisionTower
from spn4cir_core.errors import InputError
from tests.embeddings.small_models import TOWER, write_vision_tower


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(write_vision_tower(tmp_path_factory.mktemp("clip"))["model"])


@pytest.mark.parametrize(("pooling", "dimensions"), [("cls", 16), ("mean", 16), ("flatten", 256)])
def test_rows_do_not_depend_on_the_batch(
    clip_folder: Path, pictures: list[Image.Image], pooling: str, dimensions: int
) -> None:
    encode = VisionTower.model_validate({"model": str(clip_folder), "pooling": pooling}).start()
    together = encode(pictures)
    assert together.shape == (20, dimensions)
    np.testing.assert_array_equal(together, np.concatenate([encode([picture]) for picture in pictures]))


def test_poolings_are_of_the_hidden_states(clip_folder: Path, pictures: list[Image.Image]) -> None:
    model = CLIPVisionModel.from_pretrained(clip_folder).eval()
    pixels = CLIPImageProcessor.from_pretrained(clip_folder)(images=pictures[:1], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        hidden = model(pixel_values=pixels, output_hidden_states=True).hidden_states[-2].numpy()
    wanted = {"cls": hidden[:, 0], "mean": hidden[:, 1:].mean(1), "flatten": hidden[:, 1:].reshape(1, -1)}
    for pooling, vectors in wanted.items():
        tower = VisionTower.model_validate({"model": str(clip_folder), "pooling": pooling, "layer": -2})
        np.testing.assert_allclose(tower.start()(pictures[:1]), vectors, atol=1e-5)


TEXT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 9,
}
Made = tuple[Any, int]
"""A model, and how many tokens stand before its 16 patches."""


def clip() -> Made:
    text = CLIPTextConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=9
    )
    return CLIPModel(CLIPConfig(text_config=text, vision_config=CLIPVisionConfig(intermediate_size=32, **TOWER))), 1


def siglip() -> Made:
    text = SiglipTextConfig(**TEXT)
    vision = SiglipVisionConfig(intermediate_size=32, **TOWER)
    return SiglipModel(SiglipConfig(text_config=text, vision_config=vision)), 0


FAMILIES: dict[str, Callable[[], Made]] = {
    "clip": clip,
    "siglip": siglip,
    "vit": lambda: (ViTModel(ViTConfig(intermediate_size=32, **TOWER)), 1),
    "dinov2": lambda: (Dinov2Model(Dinov2Config(**TOWER)), 1),
    "dinov2_with_registers": lambda: (
        Dinov2WithRegistersModel(Dinov2WithRegistersConfig(num_register_tokens=4, **TOWER)),
        5,
    ),
    "internvl": lambda: (
        InternVLVisionModel(InternVLVisionConfig(**{**TOWER, "image_size": [32, 32], "patch_size": [8, 8]})),
        1,
    ),
    "dinov3": lambda: (DINOv3ViTModel(DINOv3ViTConfig(intermediate_size=32, num_register_tokens=4, **TOWER)), 5),
}


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_families_of_vision_transformers(family: str, tmp_path: Path, pictures: list[Image.Image]) -> None:
    torch.manual_seed(0)
    model, leading = FAMILIES[family]()
    model.save_pretrained(tmp_path)
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(tmp_path)
    pixels = processor(images=pictures[:2], return_tensors="pt")["pixel_values"]
    vision = getattr(model, "vision_model", model).eval()
    with torch.inference_mode():
        hidden = vision(pixel_values=pixels, output_hidden_states=True).hidden_states[-1].numpy()
    assert hidden.shape == (2, leading + 16, 16)
    for pooling, wanted in {"mean": hidden[:, leading:].mean(1), "flatten": hidden[:, leading:].reshape(2, -1)}.items():
        tower = VisionTower.model_validate({"model": str(tmp_path), "pooling": pooling})
        np.testing.assert_allclose(tower.start()(pictures[:2]), wanted, atol=1e-5)
    tower = VisionTower(model=str(tmp_path), pooling="cls")
    if leading:
        np.testing.assert_allclose(tower.start()(pictures[:2]), hidden[:, 0], atol=1e-5)
    else:
        with pytest.raises(InputError, match="no class token"):
            tower.start()(pictures[:2])


STAGES: dict[str, Any] = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
WITHOUT_TOKENS: dict[str, Callable[[], Any]] = {
    "convnext": lambda: ConvNextModel(ConvNextConfig(**STAGES)),
    "dinov3_convnext": lambda: DINOv3ConvNextModel(DINOv3ConvNextConfig(**STAGES)),
    "resnet": lambda: ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])),
    "swin": lambda: SwinModel(
        SwinConfig(image_size=64, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=2)
    ),
}


@pytest.mark.parametrize("family", sorted(WITHOUT_TOKENS))
def test_a_feature_map_is_pooled_over_its_places(family: str, tmp_path: Path, pictures: list[Image.Image]) -> None:
    torch.manual_seed(0)
    model = WITHOUT_TOKENS[family]()
    model.save_pretrained(tmp_path)
    processor = CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    processor.save_pretrained(tmp_path)
    pixels = processor(images=pictures[:2], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        output = model.eval()(pixel_values=pixels, output_hidden_states=True)
    feature_map = output.get("reshaped_hidden_states", output.hidden_states)[-1].numpy()
    assert feature_map.ndim == 4
    mean = VisionTower(model=str(tmp_path)).start()(pictures[:2])
    np.testing.assert_allclose(mean, feature_map.mean((2, 3)), atol=1e-5)
    flat = VisionTower(model=str(tmp_path), pooling="flatten").start()(pictures[:2])
    np.testing.assert_allclose(flat, feature_map.transpose(0, 2, 3, 1).reshape(2, -1), atol=1e-5)
    with pytest.raises(InputError, match="no class token"):
        VisionTower(model=str(tmp_path), pooling="cls").start()(pictures[:2])


def test_the_output_of_dinov2_is_the_published_feature(tmp_path: Path, pictures: list[Image.Image]) -> None:
    torch.manual_seed(0)
    model = Dinov2Model(Dinov2Config(**TOWER)).eval()
    with torch.no_grad():
        model.layernorm.weight.normal_()
    model.save_pretrained(tmp_path)
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(tmp_path)
    with torch.inference_mode():
        output = model(pixel_values=processor(images=pictures[:2], return_tensors="pt")["pixel_values"])
    for pooling, wanted in {"cls": output.pooler_output, "mean": output.last_hidden_state[:, 1:].mean(1)}.items():
        tower = VisionTower.model_validate({"model": str(tmp_path), "pooling": pooling, "layer": "output"})
        np.testing.assert_allclose(tower.start()(pictures[:2]), wanted.numpy(), atol=1e-5)


def test_a_layer_that_is_not_there_is_one_error(clip_folder: Path, pictures: list[Image.Image]) -> None:
    with pytest.raises(InputError, match=r"CLIPVisionModel\) gives no hidden state -9"):
        VisionTower(model=str(clip_folder), layer=-9).start()(pictures[:1])


def test_a_model_that_sees_no_pictures_is_one_error(tmp_path: Path, pictures: list[Image.Image]) -> None:
    BertModel(BertConfig(**TEXT)).save_pretrained(tmp_path)
    CLIPImageProcessor().save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"BertModel\) gives no hidden state"):
        VisionTower(model=str(tmp_path)).start()(pictures[:1])


def test_builtin_tower_tells_scenes_apart(pictures: list[Image.Image]) -> None:
    tower = VisionTower(pooling="flatten")
    try:
        tower.fingerprint()
    except InputError:
        pytest.skip("the built-in LLaVA is not in this checkout")
    vectors = tower.start()(pictures)
    assert np.linalg.matrix_rank(vectors) == 20


def test_fingerprint_follows_files_and_settings(clip_folder: Path) -> None:
    tower = VisionTower(model=str(clip_folder))
    fingerprint = tower.fingerprint()
    assert fingerprint == VisionTower(model=str(clip_folder), device="cpu").fingerprint()
    assert fingerprint != VisionTower(model=str(clip_folder), pooling="cls").fingerprint()
    (clip_folder / "note.txt").write_text("x")
    assert fingerprint == tower.fingerprint()
    (clip_folder / "more.json").write_text("{}")
    assert fingerprint != tower.fingerprint()


def test_a_missing_folder_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config.json is missing"):
        VisionTower(model=str(tmp_path)).fingerprint()
    with pytest.raises(InputError, match="no transformers model"):
        VisionTower(model="./models/none").start()
