from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import save_file

from spn4cir_core.embeddings.unicom import SHAPES, Unicom
from spn4cir_core.embeddings.unicom_network import UnicomNetwork
from spn4cir_core.errors import InputError
from spn4cir_core.models.clip_pixels import clip_pixels
from tests.embeddings.small_models import TINY_UNICOM, unicom_state

State = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, "tiny", TINY_UNICOM)


@pytest.fixture(scope="module")
def state() -> State:
    return unicom_state()


def saved(path: Path, value: Any) -> Unicom:
    torch.save(value, path)
    return Unicom(model="tiny", weights=str(path))


def published_layout(patches: int, patch_px: int, width: int, depth: int, out: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published weight file, as read from the public code."""
    layout: dict[str, tuple[int, ...]] = {
        "pos_embed": (1, patches, width),
        "patch_embed.proj.weight": (width, 3, patch_px, patch_px),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "feature.0.weight": (width, patches * width),
        "feature.2.weight": (out, width),
    }
    for position, size in (("1", width), ("3", out)):
        layout[f"feature.{position}.num_batches_tracked"] = ()
        for name in ("weight", "bias", "running_mean", "running_var"):
            layout[f"feature.{position}.{name}"] = (size,)
    for block in range(depth):
        start = f"blocks.{block}."
        layout |= {f"{start}norm{n}.{part}": (width,) for n in (1, 2) for part in ("weight", "bias")}
        layout[start + "attn.qkv.weight"] = (3 * width, width)
        layout[start + "attn.proj.weight"], layout[start + "attn.proj.bias"] = (width, width), (width,)
        layout[start + "mlp.fc1.weight"], layout[start + "mlp.fc1.bias"] = (4 * width, width), (4 * width,)
        layout[start + "mlp.fc2.weight"], layout[start + "mlp.fc2.bias"] = (width, 4 * width), (width,)
    return layout


@pytest.mark.parametrize(
    ("model", "layout"),
    [
        ("ViT-B/32", (49, 32, 768, 12, 512)),
        ("ViT-B/16", (196, 16, 768, 12, 768)),
        ("ViT-L/14", (256, 14, 1024, 24, 768)),
        ("ViT-L/14@336px", (576, 14, 1024, 24, 768)),
    ],
)
def test_names_and_shapes_are_the_published_ones(model: str, layout: tuple[int, int, int, int, int]) -> None:
    with torch.device("meta"):
        network = UnicomNetwork(**asdict(SHAPES[model]))
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == published_layout(*layout)


def slow_unicom(state: State, pixels_CHW: np.ndarray) -> np.ndarray:
    """One picture through the tiny network in float64, patch by patch and head by head."""
    weights = {name: value.double().numpy() for name, value in state.items()}

    def layer_norm(x: np.ndarray, name: str) -> np.ndarray:
        spread = np.sqrt(x.var(1, keepdims=True) + 1e-5)
        return (x - x.mean(1, keepdims=True)) / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def batch_norm(x: np.ndarray, name: str) -> np.ndarray:
        scaled = (x - weights[f"{name}.running_mean"]) / np.sqrt(weights[f"{name}.running_var"] + 2e-5)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    patches = [pixels_CHW[:, y : y + 8, x : x + 8] for y in range(0, 32, 8) for x in range(0, 32, 8)]
    filters = weights["patch_embed.proj.weight"]
    tokens = np.array([[(patch * each).sum() for each in filters] for patch in patches])
    tokens = tokens + weights["patch_embed.proj.bias"] + weights["pos_embed"][0]
    for block in range(2):
        name = f"blocks.{block}"
        queries, keys, values = np.split(
            layer_norm(tokens, f"{name}.norm1") @ weights[f"{name}.attn.qkv.weight"].T, 3, 1
        )
        heads = []
        for head in (slice(0, 8), slice(8, 16)):
            power = np.exp(queries[:, head] @ keys[:, head].T / np.sqrt(8))
            heads.append(power / power.sum(1, keepdims=True) @ values[:, head])
        tokens = tokens + np.concatenate(heads, 1) @ weights[f"{name}.attn.proj.weight"].T
        tokens = tokens + weights[f"{name}.attn.proj.bias"]
        hidden = layer_norm(tokens, f"{name}.norm2") @ weights[f"{name}.mlp.fc1.weight"].T
        hidden = np.clip(hidden + weights[f"{name}.mlp.fc1.bias"], 0, 6)
        tokens = tokens + hidden @ weights[f"{name}.mlp.fc2.weight"].T + weights[f"{name}.mlp.fc2.bias"]
    flat = layer_norm(tokens, "norm").ravel()
    middle = batch_norm(weights["feature.0.weight"] @ flat, "feature.1")
    return np.asarray(batch_norm(weights["feature.2.weight"] @ middle, "feature.3"))


def test_vectors_are_those_of_the_slow_network(tmp_path: Path, state: State, pictures: list[Image.Image]) -> None:
    result = saved(tmp_path / "tiny.pt", state).start()(pictures[:3])
    for picture, vector in zip(pictures, result, strict=False):
        wanted = slow_unicom(state, clip_pixels([picture], 32)[0].double().numpy())
        np.testing.assert_allclose(vector, wanted, rtol=1e-3, atol=1e-4)


def test_float16_weights_are_computed_in_float32(tmp_path: Path, state: State, pictures: list[Image.Image]) -> None:
    halves = {name: value.half() for name, value in state.items()}
    rounded = {name: value.float() for name, value in halves.items()}
    result = saved(tmp_path / "half.pt", halves).start()(pictures[:3])
    np.testing.assert_array_equal(result, saved(tmp_path / "rounded.pt", rounded).start()(pictures[:3]))


def test_safetensors_hold_the_same(tmp_path: Path, state: State, pictures: list[Image.Image]) -> None:
    save_file(state, str(tmp_path / "tiny.safetensors"))
    from_safetensors = Unicom(model="tiny", weights=str(tmp_path / "tiny.safetensors"))
    result = from_safetensors.start()(pictures[:3])
    np.testing.assert_array_equal(result, saved(tmp_path / "tiny.pt", state).start()(pictures[:3]))


def without(state: State) -> State:
    return {name: value for name, value in state.items() if name != "norm.bias"}


def with_more(state: State) -> State:
    return {**state, "cls_token": torch.zeros(1)}


def reshaped(state: State) -> State:
    return {**state, "pos_embed": torch.zeros(1, 9, 16)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without, "1 missing: norm.bias"),
        (with_more, "1 not known: cls_token"),
        (reshaped, r"1 of another shape: pos_embed \(1, 9, 16\) instead of \(1, 16, 16\)"),
        (lambda state: [1, 2], "does not hold tensors by name"),
        (lambda state: {"state_dict": state}, "does not hold tensors by name"),
        (lambda state: {"x": Path("y")}, "holds more than weights"),
    ],
)
def test_a_wrong_file_is_refused_and_the_tensors_named(
    tmp_path: Path, state: State, change: Callable[[State], Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        saved(tmp_path / "wrong.pt", change(state)).start()


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    for name in ("damaged.pt", "damaged.safetensors", "empty.pt"):
        (tmp_path / name).write_bytes(b"" if name == "empty.pt" else b"not weights at all")
        with pytest.raises(InputError, match="is no weight file"):
            Unicom(model="tiny", weights=str(tmp_path / name)).start()


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(ValidationError, match="it has ViT-B/32, ViT-B/16, ViT-L/14, ViT-L/14@336px"):
        Unicom(model="ViT-H/14", weights="x.pt")


def test_fingerprint_follows_the_bytes(tmp_path: Path, state: State) -> None:
    first, second = saved(tmp_path / "a.pt", state), saved(tmp_path / "b.pt", reshaped(state))
    assert first.fingerprint() != second.fingerprint()
    (tmp_path / "c.pt").write_bytes((tmp_path / "a.pt").read_bytes())
    assert first.fingerprint() == Unicom(model="tiny", weights=str(tmp_path / "c.pt")).fingerprint()
