from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip import pretrained
from PIL import Image
from safetensors.torch import save_file

from spn4cir_core.backbones.clip4cir.settings import Clip4Cir
from spn4cir_core.embeddings.open_clip_encoder import OpenClipEncoder
from spn4cir_core.errors import InputError, RecipeError
from spn4cir_core.triplets.open_clip_ranker import OpenClipRanker
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
    fingerprint = OpenClipEncoder(model=str(folder)).fingerprint()
    moved = tmp_path_factory.mktemp("moved")
    for path in folder.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    assert fingerprint == OpenClipEncoder(model=str(moved)).fingerprint()
    config = moved / "open_clip_config.json"
    config.write_text(config.read_text().replace("bicubic", "bilinear"))
    assert fingerprint != OpenClipEncoder(model=str(moved)).fingerprint()


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


OURS: dict[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25), "resize_mode": "squash"}
OPENAI: dict[str, Any] = {"mean": (0.48145466, 0.4578275, 0.40821073), "quick_gelu": True}


def named_model(folder: Path, monkeypatch: pytest.MonkeyPatch, tags: dict[str, dict[str, Any]]) -> dict[str, str]:
    """A model that open_clip knows by name, with tags of it, and a file of its weights."""
    write_open_clip(folder)
    config = folder / "tiny-with-tags.json"
    config.write_text(json.dumps(TINY_OPEN_CLIP["model_cfg"]))
    open_clip.add_model_config(config)
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny-with-tags", tags)
    return {"model": "tiny-with-tags", "pretrained": str(folder / "open_clip_model.safetensors")}


def slow_vector(picture: Image.Image, mean: float, std: float, quick_gelu: bool) -> np.ndarray:
    torch.manual_seed(0)
    config = {**TINY_OPEN_CLIP["model_cfg"], "quick_gelu": quick_gelu}
    state = open_clip.CLIP(**TINY_OPEN_CLIP["model_cfg"]).state_dict()
    model = open_clip.CLIP(**config).eval()
    model.load_state_dict(state)
    squeezed = np.asarray(picture.resize((32, 32), Image.Resampling.BICUBIC), np.float32) / 255
    pixels = torch.from_numpy((squeezed - mean) / std).permute(2, 0, 1)[None]
    with torch.inference_mode():
        vector: np.ndarray = model.encode_image(pixels.float()).numpy()
    return vector


def test_a_weight_file_is_preprocessed_as_its_model_s_tags_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = named_model(tmp_path, monkeypatch, {"webli": OURS})
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8))
    vector = OpenClipEncoder.model_validate(table).start()([picture])
    np.testing.assert_allclose(vector, slow_vector(picture, 0.5, 0.25, False), rtol=1e-3, atol=1e-4)


def test_a_file_of_which_tags_differ_wants_to_know_whose_weights_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = named_model(tmp_path, monkeypatch, {"webli": OURS, "quick": {**OURS, "quick_gelu": True}})
    for attempt in (OpenClipEncoder.model_validate(table).fingerprint, OpenClipEncoder.model_validate(table).start):
        with pytest.raises(
            RecipeError, match=r"webli: the name's own activation, mean 0.5, squash.*quick: QuickGELU.*Set weights_of"
        ):
            attempt()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    fingerprints = set()
    for tag, quick_gelu in (("webli", False), ("quick", True)):
        encoder = OpenClipEncoder.model_validate({**table, "weights_of": tag})
        wanted = slow_vector(picture, 0.5, 0.25, quick_gelu)
        np.testing.assert_allclose(encoder.start()([picture]), wanted, rtol=1e-3, atol=1e-4)
        fingerprints.add(encoder.fingerprint())
    assert len(fingerprints) == 2
    with pytest.raises(RecipeError, match="weights_of = 'opnai' is no tag of 'tiny-with-tags'; its tags: webli, quick"):
        OpenClipEncoder.model_validate({**table, "weights_of": "opnai"}).fingerprint()


def test_weights_of_is_for_files(folder: Path) -> None:
    with pytest.raises(RecipeError, match="weights_of is for a weight file"):
        OpenClipEncoder(model=str(folder), weights_of="openai").start()


def test_the_archive_that_openai_publishes_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = named_model(tmp_path, monkeypatch, {"openai": OPENAI})
    archive = tmp_path / "ViT-B-32.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), str(archive))
    with pytest.raises(InputError, match=r"TorchScript archive.*'openai', or the model's -quickgelu name"):
        OpenClipEncoder.model_validate({**table, "pretrained": str(archive)}).start()
    torch.save(torch.nn.Linear(2, 2).state_dict(), archive)
    with pytest.raises(InputError, match="open_clip cannot load"):
        OpenClipEncoder.model_validate({**table, "pretrained": str(archive)}).start()


def test_openai_s_weights_under_the_plain_name_are_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "clip.pt"
    torch.save({"logit_scale": torch.ones(())}, path)
    with pytest.raises(RecipeError, match=r"tags of 'ViT-B-32' differ \(openai, .*QuickGELU.*weights_of"):
        OpenClipEncoder(model="ViT-B-32", pretrained=str(path)).fingerprint()
    with pytest.raises(RecipeError, match="Set weights_of"):
        Clip4Cir.model_validate({"model": "ViT-B-32", "pretrained": str(path)}).fingerprint()
    known = Clip4Cir.model_validate({"model": "ViT-B-32", "pretrained": str(path), "weights_of": "openai"})
    assert known.described()["model_cfg"]["quick_gelu"] is True
    assert OpenClipEncoder(model="ViT-B-32-quickgelu", pretrained=str(path)).fingerprint()


def test_a_ranker_hands_on_whose_weights_a_file_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = named_model(tmp_path, monkeypatch, {"webli": OURS, "quick": {**OURS, "quick_gelu": True}})
    with pytest.raises(RecipeError, match="Set weights_of"):
        OpenClipRanker.model_validate(table).fingerprint()
    assert OpenClipRanker.model_validate({**table, "weights_of": "quick"}).fingerprint()
