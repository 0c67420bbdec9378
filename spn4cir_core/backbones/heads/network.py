"""The network of the ``heads`` backbone. B images or texts, P tokens, D dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from typing_extensions import override

from spn4cir_core.backbones.base import ExportedInputs
from spn4cir_core.backbones.composer_networks import ComposerNetwork, Encoded
from spn4cir_core.backbones.frozen_trunks import TEXT_FEATURES, FrozenTexts, FrozenTrunksNetwork
from spn4cir_core.backbones.two_towers import TwoTowerNetwork
from spn4cir_core.models.fixed_batches import in_fixed_batches
from spn4cir_core.models.lite0 import lite0_pixels, load_lite0
from spn4cir_core.models.products import Linear

IMAGE_FEATURES = 1280


class Head(nn.Module):
    """A linear map plus a small correction, from frozen features to the embedding space."""

    def __init__(self, features: int, hidden: int, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.linear = Linear(features, dim)
        self.correction = nn.Sequential(Linear(features, hidden), nn.GELU(), Linear(hidden, dim))

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
        image_px: int,
        texts: FrozenTexts,
        make_composer: Callable[[int, int], ComposerNetwork],
    ) -> None:
        """``make_composer(dim, token_dim)`` is called last, so that the heads' weights do not depend on it."""
        image, text = Head(IMAGE_FEATURES, hidden, dim), TextTower(texts, hidden, dim)
        super().__init__(dim, image, text, make_composer(dim, dim))
        self.texts, self.image_px = texts, image_px
        # In a list, because a module set as an attribute would join this network's weights.
        self._trunk: list[Any] = []

    @override
    def read_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(B, 1280) float32 features of the frozen trunk, one picture at a time."""
        pixels = lite0_pixels(images, self.image_px).contiguous(memory_format=torch.channels_last)
        return in_fixed_batches(self._pooled(), pixels)

    def _pooled(self) -> Callable[[Tensor], Tensor]:
        """From (B, 3, px, px) pixels to (B, 1280) features by the frozen trunk, which is loaded once."""
        if not self._trunk:
            self._trunk.append(load_lite0().to(memory_format=torch.channels_last))
        trunk = self._trunk[0]
        return lambda pixels_BCHW: trunk.forward_head(trunk.forward_features(pixels_BCHW), pre_logits=True)

    @override
    def exported_inputs(self) -> ExportedInputs:
        return self.exported_as({"fit": "squeeze", "px": self.image_px}, self._pooled())
