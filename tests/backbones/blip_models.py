"""Untrained BLIP and BLIP-2 retrieval models of two layers, saved as real ones are, and as published checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from spn4cir_core.backbones.base import BACKBONES, Backbone

WORDS = """make it red blue green circle square star small large and with remove add a an the at top bottom of is to
other one shape no change replace in left right middle instead without"""
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
SIDE_PX = 32
VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE_PX,
    "patch_size": 16,
    "initializer_range": 0.3,
}
TEXT = {
    "hidden_size": 32,
    "encoder_hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,
}
QUERIES, DIM = 4, 16


def tokenizer() -> Any:
    from transformers import BertTokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, *dict.fromkeys([*WORDS.split(), *LETTERS, *(f"##{letter}" for letter in LETTERS)])]
    return BertTokenizer(vocab={word: number for number, word in enumerate(words)})


def save_blip(folder: Path) -> None:
    from transformers import BlipConfig, BlipForImageTextRetrieval

    words = tokenizer()
    text = {**TEXT, "vocab_size": len(words) + 2, "bos_token_id": len(words), "sep_token_id": words.sep_token_id}
    torch.manual_seed(1)
    config = BlipConfig(text_config=text, vision_config=VISION, image_text_hidden_size=DIM)
    model = BlipForImageTextRetrieval(config)
    _scatter(model)
    model.save_pretrained(folder)
    words.save_pretrained(folder)


def save_blip2(folder: Path, **qformer: Any) -> None:
    from transformers import Blip2Config, Blip2ForImageTextRetrieval

    words = tokenizer()
    former = {**TEXT, "vocab_size": len(words) + 1, "use_qformer_text_input": True, **qformer}
    config = Blip2Config(
        vision_config=VISION, qformer_config=former, num_query_tokens=QUERIES, image_text_hidden_size=DIM
    )
    torch.manual_seed(2)
    model = Blip2ForImageTextRetrieval(config)
    _scatter(model)
    model.save_pretrained(folder)
    words.save_pretrained(folder)


def backbone(table: dict[str, Any], **settings: Any) -> Backbone:
    made: Backbone = BACKBONES.build({**table, **settings})
    return made


def as_blip_wrote(network: Any) -> dict[str, torch.Tensor]:
    """The network's tensors by the names of BLIP's authors."""
    return {_vision(name): tensor for name, tensor in network.state_dict().items()} | {"temp": torch.tensor(0.07)}


def as_lavis_wrote(network: Any) -> dict[str, torch.Tensor]:
    """The network's tensors by LAVIS' names, those of stage 2's own Q-Former included."""
    written: dict[str, torch.Tensor] = {"temp": torch.tensor(0.07), "itm_head.weight": torch.zeros(2, 32)}
    for name, tensor in network.state_dict().items():
        if name.endswith("self_attn.qkv.bias"):
            of_queries, of_keys, of_values = tensor.chunk(3)
            assert not of_keys.any(), "EVA has no bias for keys"
            layer = _vision(name).removesuffix("qkv.bias")
            written |= {f"{layer}q_bias": of_queries, f"{layer}v_bias": of_values}
        else:
            written[_lavis(name)] = tensor
    return written


def _lavis(name: str) -> str:
    if name.startswith(("former.", "query_former.")):
        query = "_query" if name.startswith("query_") else ""
        name = name.split(".", 1)[1]
        if name.startswith("text_projection."):
            return name.replace("text_projection", "text_proj_q" if query else "text_proj")
        name = name.replace("qformer.layernorm", "embeddings.LayerNorm").removeprefix("qformer.")
        return f"Qformer{query}.bert." + name.replace("attention.attention.", "attention.self.")
    return _vision(name.replace("vision_projection.", "vision_proj."))


def _vision(name: str) -> str:
    if not name.startswith("vision_model."):
        return name
    for ours, theirs in (
        ("vision_model.embeddings.class_embedding", "visual_encoder.cls_token"),
        ("vision_model.embeddings.position_embedding", "visual_encoder.pos_embed"),
        ("vision_model.embeddings.patch_embedding", "visual_encoder.patch_embed.proj"),
        ("vision_model.encoder.layers", "visual_encoder.blocks"),
        ("vision_model.post_layernorm", "visual_encoder.norm"),
        ("self_attn.projection", "attn.proj"),
        ("self_attn", "attn"),
        ("layer_norm", "norm"),
    ):
        name = name.replace(ours, theirs)
    return name


def _scatter(model: Any) -> None:
    """Large random weights, so that vectors hang on picture and text; EVA has no bias for keys."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
            elif name.endswith(("bias", "query_tokens")):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
            if name.endswith("qkv.bias"):
                parameter[32:64] = 0
