from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model

from spn4cir_core.embeddings.vision_tower import VisionTower
from spn4cir_core.errors import InputError

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    CLIPVisionModel(CLIPVisionConfig(intermediate_size=32, **SIZES)).save_pretrained(folder)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPImageProcessor(**size).save_pretrained(folder)
    return folder


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


def test_dinov2(tmp_path: Path, pictures: list[Image.Image]) -> None:
    torch.manual_seed(0)
    Dinov2Model(Dinov2Config(**SIZES)).save_pretrained(tmp_path)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPImageProcessor(**size).save_pretrained(tmp_path)
    assert VisionTower(model=str(tmp_path), pooling="flatten").start()(pictures[:2]).shape == (2, 256)


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
    mark = tower.fingerprint()
    assert mark == VisionTower(model=str(clip_folder), device="cpu").fingerprint()
    assert mark != VisionTower(model=str(clip_folder), pooling="cls").fingerprint()
    (clip_folder / "note.txt").write_text("x")
    assert mark == tower.fingerprint()
    (clip_folder / "more.json").write_text("{}")
    assert mark != tower.fingerprint()


def test_a_missing_folder_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config.json is missing"):
        VisionTower(model=str(tmp_path)).fingerprint()
    with pytest.raises(InputError, match="no transformers model"):
        VisionTower(model="./models/none").start()
