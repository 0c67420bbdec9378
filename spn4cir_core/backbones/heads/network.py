"""The network of the ``heads`` backbone. B images or texts, P tokens, D dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from typing_extensions import override

from spn4cir_core.backbones.composer_networks import ComposerNetwork, Encoded
from spn4cir_core.backbones.frozen_trunks import TEXT_FEATURES, FrozenImages, FrozenTexts, FrozenTrunksNetwork
from spn4cir_core.backbones.two_towers import TwoTowerNetwork

IMAGE_FEATURES = 1280


class Head(nn.Module):
    """A linear map plus a small correction, from frozen features to the embedding space."""

    def __init__(self, features: int, hidden: int, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.linear = nn.Linear(features, dim)
        self.correction = nn.Sequential(nn.Linear(features, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, features_BF: Tensor) -> Encoded:
        """Map features; the vector is its own single token."""
        normed_BF = self.norm(features_BF)
        pooled_BD: Tensor = self.linear(normed_BF) + self.correction(normed_BF)
        return Encoded(pooled_BD, pooled_BD[:, None], torch.zeros_like(pooled_BD[:, :1], dtype=torch.bool))


class TextTower(nn.Module):
    """A head on frozen sentence vectors."""

    def __init__(self, texts: FrozenTexts, hidden: int, dim: int) -> None:
        super().__init__()
        self.texts = texts
        self.head = Head(TEXT_FEATURES, hidden, dim)

    def forward(self, tokens_BP: Tensor) -> Encoded:
        """Encode token ids."""
        encoded: Encoded = self.head(self.texts.features(tokens_BP))
        return encoded


class HeadsNetwork(FrozenTrunksNetwork, TwoTowerNetwork):
    """Image head, text head, composer."""

    def __init__(
        self,
        *,
        dim: int,
        hidden: int,
        images: FrozenImages,
        texts: FrozenTexts,
        make_composer: Callable[[int, int], ComposerNetwork],
    ) -> None:
        """``make_composer(dim, token_dim)`` is called last, so that the heads' weights do not depend on it."""
        image, text = Head(IMAGE_FEATURES, hidden, dim), TextTower(texts, hidden, dim)
        super().__init__(dim, image, text, make_composer(dim, dim))
        self.texts, self.image_trunk = texts, images

    @override
    def read_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(B, 1280) float32 features of the frozen trunk, one picture at a time."""
        return self.image_trunk.read(
            images, lambda trunk, pixels: trunk.forward_head(trunk.forward_features(pixels), pre_logits=True)
        )
