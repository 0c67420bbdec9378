from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from spn4cir_core.embeddings.open_clip_encoder import OpenClipEncoder
from spn4cir_core.errors import InputError, RecipeError
from tests.embeddings.small_models import TINY_OPEN_CLIP, write_open_clip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_open_clip(tmp_path)
    return tmp_path


def test_vectors_are_those_of_open_clip(folder: Path) -> None:
    picture = Image.new("RGB", (32, 32), (255, 0, 51))
    torch.manual_seed(0)
    model = open_clip.CLIP(**TINY_OPEN_CLIP["model_cfg"]).eval()
    pixels = torch.tensor([1.0, -1.0, -0.6]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    with torch.inference_mode():
        wanted = model.encode_image(pixels).numpy()
    np.testing.assert_allclose(OpenClipEncoder(model=str(folder)).start()([picture]), wanted, rtol=1e-3, atol=1e-5)


def test_fingerprint_follows_the_folder_s_files_not_its_place(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mark = OpenClipEncoder(model=str(folder)).fingerprint()
    moved = tmp_path_factory.mktemp("moved")
    for path in folder.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    assert mark == OpenClipEncoder(model=str(moved)).fingerprint()
    config = moved / "open_clip_config.json"
    config.write_text(config.read_text().replace("bicubic", "bilinear"))
    assert mark != OpenClipEncoder(model=str(moved)).fingerprint()


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(InputError, match="open_clip cannot load"):
        OpenClipEncoder(model=str(folder)).start()


def test_a_weight_file_of_another_model_is_refused(folder: Path) -> None:
    path = folder / "open_clip_model.safetensors"
    save_file({"visual.proj": torch.zeros(3, 3)}, str(path))
    with pytest.raises(InputError, match="open_clip cannot load"):
        OpenClipEncoder(model=str(folder)).start()


def test_a_known_name_takes_the_path_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write_open_clip(tmp_path)
    import json

    config = tmp_path / "tiny-for-test.json"
    config.write_text(json.dumps(TINY_OPEN_CLIP["model_cfg"]))
    open_clip.add_model_config(config)
    weights = tmp_path / "open_clip_model.safetensors"
    named = OpenClipEncoder(model="tiny-for-test", pretrained=str(weights))
    assert named.fingerprint() != OpenClipEncoder(**made).fingerprint()
    assert named.start()([Image.new("RGB", (40, 40))]).shape == (1, 12)
    with pytest.raises(RecipeError, match=r"its tags: none"):
        OpenClipEncoder(model="tiny-for-test", pretrained="laion2b").fingerprint()


@pytest.mark.parametrize(
    ("model", "pretrained", "said"),
    [
        ("ViT-B-32-nonsense", "openai", "open_clip has no model 'ViT-B-32-nonsense'"),
        ("models/none", "", "open_clip has no model 'models/none'"),
        ("./models/none", "", "no open_clip model at models/none"),
        ("ViT-B-32", "", r"pretrained '' is neither a file nor a tag of 'ViT-B-32'; its tags: openai, "),
        ("ViT-B/32", "./none.pt", r"pretrained './none.pt' is neither a file nor a tag"),
        ("hf-hub:a/b", "openai", "leave out pretrained"),
    ],
)
def test_what_is_wrong_is_said_without_a_network(model: str, pretrained: str, said: str) -> None:
    encoder = OpenClipEncoder(model=model, pretrained=pretrained)
    for attempt in (encoder.fingerprint, encoder.start):
        with pytest.raises((InputError, RecipeError), match=said):
            attempt()


def test_a_tag_has_a_fingerprint_without_its_weights() -> None:
    marks = {OpenClipEncoder(model="ViT-B-32", pretrained=tag).fingerprint() for tag in ("openai", "laion2b_s34b_b79k")}
    assert len(marks) == 2
