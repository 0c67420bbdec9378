"""The trainable parts of the composers. B queries, D embedding dimensions, P tokens of width W.

A missing modality is None: the composer then gives the query that it would make of the other one alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import override

from spn4cir_core.models.products import Linear


@dataclass(frozen=True)
class Encoded:
    """One modality of a batch: its vectors and the tokens they were pooled from."""

    pooled_BD: Tensor
    tokens_BPW: Tensor
    padding_BP: Tensor
    """True where there is no token."""


class ComposerNetwork(nn.Module, ABC):
    """Composes; the result need not be normalised."""

    @abstractmethod
    def forward(self, image: Encoded | None, text: Encoded | None) -> Tensor:
        """(B, D) queries.

        Raises:
            ValueError: both modalities are missing.
        """


def only_one(image: Encoded | None, text: Encoded | None) -> Tensor | None:
    """The vectors of the one modality that is there, or None where both are.

    Raises:
        ValueError: both are missing.
    """
    if image is None and text is None:
        raise ValueError("a query needs images, texts, or both")
    if image is None or text is None:
        return (image or text).pooled_BD  # type: ignore[union-attr]
    return None


class SumNetwork(ComposerNetwork):
    """image + text."""

    @override
    def forward(self, image: Encoded | None, text: Encoded | None) -> Tensor:
        alone = only_one(image, text)
        if alone is not None:
            return alone
        assert image is not None and text is not None
        return image.pooled_BD + text.pooled_BD


class GatedResidualNetwork(ComposerNetwork):
    """sigmoid(gate([image, text])) * image + text + change([image, text])."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(Linear(2 * dim, hidden), nn.GELU(), Linear(hidden, dim))
        self.change = nn.Sequential(Linear(2 * dim, hidden), nn.GELU(), Linear(hidden, dim))
        _start_as_zero(self.gate[-1], bias=2.0)
        _start_as_zero(self.change[-1])

    @override
    def forward(self, image: Encoded | None, text: Encoded | None) -> Tensor:
        alone = only_one(image, text)
        if alone is not None:
            return alone
        assert image is not None and text is not None
        both = torch.cat([image.pooled_BD, text.pooled_BD], dim=-1)
        composed_BD: Tensor = torch.sigmoid(self.gate(both)) * image.pooled_BD + text.pooled_BD + self.change(both)
        return composed_BD


class CombinerNetwork(ComposerNetwork):
    """v + λ · text + (1 − λ) · image, with v and λ learnt from both."""

    def __init__(self, dim: int, hidden: int, dropout: float, joint_hidden: int | None = None) -> None:
        super().__init__()
        joint = hidden if joint_hidden is None else joint_hidden
        self.image = nn.Sequential(Linear(dim, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.text = nn.Sequential(Linear(dim, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.joint = nn.Sequential(Linear(2 * hidden, joint), nn.ReLU(), nn.Dropout(dropout), Linear(joint, dim))
        self.mixture = nn.Sequential(Linear(2 * hidden, joint), nn.ReLU(), nn.Dropout(dropout), Linear(joint, 1))

    @override
    def forward(self, image: Encoded | None, text: Encoded | None) -> Tensor:
        alone = only_one(image, text)
        if alone is not None:
            return alone
        assert image is not None and text is not None
        both = torch.cat([self.image(image.pooled_BD), self.text(text.pooled_BD)], dim=-1)
        share_B1 = torch.sigmoid(self.mixture(both))
        joint_BD: Tensor = self.joint(both)
        return joint_BD + share_B1 * text.pooled_BD + (1 - share_B1) * image.pooled_BD


class CrossAttentionNetwork(ComposerNetwork):
    """image + projection of the mean image token after transformer layers over both token sets."""

    def __init__(self, dim: int, token_dim: int, layers: int, heads: int) -> None:
        super().__init__()
        self.modality = nn.Parameter(torch.randn(2, token_dim) * 0.02)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(token_dim, heads, 4 * token_dim, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(token_dim)
        self.out = nn.Linear(token_dim, dim)

    @override
    def forward(self, image: Encoded | None, text: Encoded | None) -> Tensor:
        alone = only_one(image, text)
        if alone is not None:
            return alone
        assert image is not None and text is not None
        tokens = torch.cat([image.tokens_BPW + self.modality[0], text.tokens_BPW + self.modality[1]], dim=1)
        padding = torch.cat([image.padding_BP, text.padding_BP], dim=1)
        *deep, last = self.layers
        for layer in deep:
            tokens = layer(tokens, src_key_padding_mask=padding)
        seen = _first_tokens(last, tokens, padding, image.tokens_BPW.shape[1])
        change: Tensor = self.out(self.norm(seen).mean(dim=1))
        return image.pooled_BD + text.pooled_BD + change


def _first_tokens(layer: nn.Module, tokens_BPW: Tensor, padding_BP: Tensor, count: int) -> Tensor:
    """The first ``count`` tokens a pre-norm layer without dropout gives out; the others are read, not computed."""
    assert isinstance(layer, nn.TransformerEncoderLayer)
    normed = layer.norm1(tokens_BPW)
    attended, _ = layer.self_attn(normed[:, :count], normed, normed, key_padding_mask=padding_BP, need_weights=False)
    first = tokens_BPW[:, :count] + attended
    changed: Tensor = first + layer.linear2(layer.activation(layer.linear1(layer.norm2(first))))
    return changed


def _start_as_zero(layer: nn.Module, bias: float = 0.0) -> None:
    assert isinstance(layer, nn.Linear)
    nn.init.zeros_(layer.weight)
    nn.init.constant_(layer.bias, bias)
