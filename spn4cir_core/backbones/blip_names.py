"""Tensor names of BLIP and BLIP-2 as their authors wrote them, and as transformers has them.

The published composed-retrieval checkpoints keep the authors' names (``visual_encoder.blocks.0.attn.qkv.weight``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Rule = tuple[str, str]

VISION: tuple[Rule, ...] = (
    ("cls_token", "embeddings.class_embedding"),
    ("pos_embed", "embeddings.position_embedding"),
    ("patch_embed.proj.", "embeddings.patch_embedding."),
    ("norm.", "post_layernorm."),
    ("blocks.", "encoder.layers."),
)
"""How names below ``visual_encoder`` begin."""
INSIDE_A_BLOCK: tuple[Rule, ...] = (
    (".attn.proj.", ".self_attn.projection."),
    (".attn.", ".self_attn."),
    (".norm1.", ".layer_norm1."),
    (".norm2.", ".layer_norm2."),
)
QFORMER: tuple[Rule, ...] = (
    ("embeddings.LayerNorm.", "qformer.layernorm."),
    ("embeddings.", "embeddings."),
    ("encoder.", "qformer.encoder."),
)
"""How names below ``Qformer.bert`` begin."""
INSIDE_A_LAYER: tuple[Rule, ...] = (
    (".attention.self.", ".attention.attention."),
    (".crossattention.self.", ".crossattention.attention."),
)


def vision_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors below ``visual_encoder``, named as in transformers' Blip and Blip2 vision models.

    EVA, the tower of BLIP-2, has biases for queries and values and none for keys: [q_bias, 0, v_bias].
    """
    import torch

    named = {_replaced(_begun(name, VISION), INSIDE_A_BLOCK): tensor for name, tensor in tensors.items()}
    for name in [name for name in named if name.endswith(".self_attn.q_bias")]:
        layer = name.removesuffix("q_bias")
        if f"{layer}v_bias" in named:
            of_queries, of_values = named.pop(name), named.pop(f"{layer}v_bias")
            named[f"{layer}qkv.bias"] = torch.cat([of_queries, torch.zeros_like(of_queries), of_values])
    return named


def qformer_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors below ``Qformer.bert``, named as transformers' text embeddings and Q-Former side by side."""
    return {_replaced(_begun(name, QFORMER), INSIDE_A_LAYER): tensor for name, tensor in tensors.items()}


def _begun(name: str, rules: Iterable[Rule]) -> str:
    for old, new in rules:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _replaced(name: str, rules: Iterable[Rule]) -> str:
    for old, new in rules:
        name = name.replace(old, new)
    return name
