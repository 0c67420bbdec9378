"""Small models on disk, one for every image encoder: real networks with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from spn4cir_core.embeddings.unicom import UnicomShape

TINY_UNICOM = UnicomShape(size_px=32, patch_px=8, width=16, depth=2, heads=2, dimensions=12)
TOWER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
TINY_OPEN_CLIP: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 12,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8},
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic"},
}


def unicom_state() -> dict[str, torch.Tensor]:
    """Random weights of the tiny unicom, with batch norms that have seen data."""
    from dataclasses import asdict

    from spn4cir_core.embeddings.unicom_network import UnicomNetwork

    torch.manual_seed(0)
    network = UnicomNetwork(**asdict(TINY_UNICOM))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        network.train()(torch.randn(64, 3, 32, 32))
    return network.state_dict()


def write_unicom(folder: Path) -> dict[str, Any]:
    path = folder / "FP16-tiny.pt"
    torch.save(
        {name: value.half() if value.is_floating_point() else value for name, value in unicom_state().items()}, path
    )
    return {"model": "tiny", "weights": str(path)}


def write_open_clip(folder: Path, vocabulary: int = 64) -> dict[str, Any]:
    """With 49,408 words it takes open_clip's own tokens."""
    import open_clip

    torch.manual_seed(0)
    config = json.loads(json.dumps(TINY_OPEN_CLIP))
    config["model_cfg"]["text_cfg"]["vocab_size"] = vocabulary
    save_file(open_clip.CLIP(**config["model_cfg"]).state_dict(), str(folder / "open_clip_model.safetensors"))
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return {"model": str(folder)}


def write_vision_tower(folder: Path) -> dict[str, Any]:
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(0)
    CLIPVisionModel(CLIPVisionConfig(intermediate_size=32, **TOWER)).save_pretrained(folder)
    size: dict[str, Any] = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPImageProcessor(**size).save_pretrained(folder)
    return {"model": str(folder)}


def write_sentence_transformers(folder: Path) -> dict[str, Any]:
    """A CLIP of two towers as a folder of sentence-transformers."""
    from sentence_transformers import SentenceTransformer
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    from tests.captions.small_models import words_with_image

    tokenizer = words_with_image("<s>", "</s>", [])
    tokenizer.model_max_length = 32
    torch.manual_seed(0)
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = CLIPConfig(
        text_config={**text, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": 32},
        vision_config={"intermediate_size": 32, **TOWER},
        projection_dim=12,
    )
    CLIPModel(config).save_pretrained(folder / "plain")
    size: dict[str, Any] = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPProcessor(CLIPImageProcessor(**size), tokenizer).save_pretrained(folder / "plain")
    SentenceTransformer(str(folder / "plain"), device="cpu").save(str(folder / "sentence"), create_model_card=False)
    return {"model": str(folder / "sentence")}


def write_composing(folder: Path) -> dict[str, Any]:
    """A Qwen3-VL that embeds pictures, texts and both in one, as a folder of sentence-transformers."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    from tests.captions.small_models import save_qwen3_vl

    save_qwen3_vl(folder / "plain")
    layers = [Transformer(str(folder / "plain")), Pooling(64, pooling_mode="lasttoken")]
    SentenceTransformer(modules=layers, device="cpu").save(str(folder / "sentence"), create_model_card=False)
    return {"model": str(folder / "sentence"), "together": True}


def write_timm(folder: Path) -> dict[str, Any]:
    import timm

    torch.manual_seed(0)
    path = folder / "mobilenet.safetensors"
    save_file(timm.create_model("mobilenetv3_small_050", pretrained=False).state_dict(), str(path))
    return {"model": "mobilenetv3_small_050", "weights": str(path), "size_px": 32}


WRITERS = {
    "lite0": lambda folder: {"size_px": 96},
    "open_clip": write_open_clip,
    "sentence_transformers": write_sentence_transformers,
    "timm": write_timm,
    "unicom": write_unicom,
    "vision_tower": write_vision_tower,
}
