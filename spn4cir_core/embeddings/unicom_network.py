"""Network of unicom (An et al. 2023, "Unicom: Universal and Compact Representation Learning for Image Retrieval").

A vision transformer without class token: all patch tokens, side by side, pass through linear, batch norm,
linear, batch norm. Parameters carry the names of the published weight files.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

BATCH_NORM_EPS = 2e-5
MLP_RATIO = 4


class UnicomNetwork(nn.Module):
    """Maps (B, 3, size_px, size_px) pixels to (B, dimensions) float32."""

    def __init__(self, size_px: int, patch_px: int, width: int, depth: int, heads: int, dimensions: int) -> None:
        super().__init__()
        patches = (size_px // patch_px) ** 2
        self.patch_embed = nn.Sequential()
        self.patch_embed.add_module("proj", nn.Conv2d(3, width, patch_px, stride=patch_px))
        self.pos_embed = nn.Parameter(torch.zeros(1, patches, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.feature = nn.Sequential(
            nn.Linear(patches * width, width, bias=False),
            nn.BatchNorm1d(width, eps=BATCH_NORM_EPS),
            nn.Linear(width, dimensions, bias=False),
            nn.BatchNorm1d(dimensions, eps=BATCH_NORM_EPS),
        )

    def forward(self, pixels_BCHW: torch.Tensor) -> torch.Tensor:
        """Autocast, where the caller turns it on, applies to the blocks alone, as published."""
        kind = pixels_BCHW.device.type
        with torch.autocast(kind, enabled=False):
            tokens_BTD = self.patch_embed(pixels_BCHW.float()).flatten(2).transpose(1, 2) + self.pos_embed
        tokens_BTD = self.blocks(tokens_BTD)
        with torch.autocast(kind, enabled=False):
            embedding: torch.Tensor = self.feature(self.norm(tokens_BTD.float()).flatten(1))
        return embedding


class Block(nn.Module):
    """Attention and MLP, each behind a layer norm and around a residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("fc1", nn.Linear(width, MLP_RATIO * width))
        self.mlp.add_module("act", nn.ReLU6())
        self.mlp.add_module("fc2", nn.Linear(MLP_RATIO * width, width))

    def forward(self, tokens_BTD: torch.Tensor) -> torch.Tensor:
        """Same shape in and out."""
        tokens_BTD = tokens_BTD + self.attn(self.norm1(tokens_BTD))
        mixed: torch.Tensor = tokens_BTD + self.mlp(self.norm2(tokens_BTD))
        return mixed


class Attention(nn.Module):
    """Multi-head self-attention; one matrix without bias makes queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens_BTD: torch.Tensor) -> torch.Tensor:
        """Same shape in and out."""
        batch, length, width = tokens_BTD.shape
        qkv = self.qkv(tokens_BTD).view(batch, length, 3, self.heads, width // self.heads)
        query_BHTK, key_BHTK, value_BHTK = qkv.permute(2, 0, 3, 1, 4)
        read = functional.scaled_dot_product_attention(query_BHTK, key_BHTK, value_BHTK)
        mixed: torch.Tensor = self.proj(read.transpose(1, 2).reshape(batch, length, width))
        return mixed
