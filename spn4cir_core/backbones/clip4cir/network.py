"""The network of CLIP4CIR. B images or texts, D dimensions, P tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from spn4cir_core.backbones.base import ExportedInputs, Network
from spn4cir_core.backbones.clip_towers import Tokenizer, build_clip, text_features
from spn4cir_core.backbones.composer_networks import ComposerNetwork, Encoded
from spn4cir_core.backbones.pixels import centre_squares, normalised, target_padded_squares


class ClipNetwork(nn.Module, Network):
    """An open_clip model, which is never put into training mode: batch norms keep their running statistics."""

    def __init__(self, described: dict[str, Any], *, preprocessing: str) -> None:
        super().__init__()
        self.described = described
        self.preprocessing = preprocessing
        self.clip: Any = build_clip(described["model_cfg"]).eval()
        self.dim = int(described["model_cfg"]["embed_dim"])
        self._tokenizer = Tokenizer(described["model_cfg"])

    @override
    def state(self) -> dict[str, Any]:
        return dict(self.described)

    def train(self, mode: bool = True) -> ClipNetwork:
        """Training mode for all but the CLIP, as published."""
        super().train(mode)
        self.clip.eval()
        return self

    @override
    def checkpoint_activations(self) -> None:
        self.clip.set_grad_checkpointing(True)

    def read_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(B, 3, px, px) uint8."""
        squares = target_padded_squares if self.preprocessing == "target_pad" else centre_squares
        return squares(images, self.described["image_px"])

    @override
    def exported_inputs(self) -> ExportedInputs:
        text_cfg = self.described["model_cfg"]["text_cfg"]
        read = {name: text_cfg[name] for name in ("context_length", "tokenizer_kwargs") if name in text_cfg}
        picture = {"fit": self.preprocessing, "px": self.described["image_px"]}
        return ExportedInputs(picture, {"tokenizer": "clip", "text_cfg": read})

    def pixels(self, images_BCHW: Tensor) -> Tensor:
        """uint8 pixels as the visual tower wants them."""
        dtype = next(self.clip.visual.parameters()).dtype
        return normalised(images_BCHW, dtype, self.described["mean"], self.described["std"])

    @override
    def tokenize(self, texts: Sequence[str]) -> Tensor:
        return self._tokenizer(texts)

    @override
    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return self._tokenizer.counts(texts)

    @property
    @override
    def token_limit(self) -> int:
        return self._tokenizer.limit


class Clip4CirNetwork(ClipNetwork):
    """Both towers and a composer of their raw features. A target is the normalised image feature."""

    def __init__(
        self,
        described: dict[str, Any],
        *,
        preprocessing: str,
        make_composer: Callable[[int, int], ComposerNetwork],
        stage1_trains: str,
    ) -> None:
        super().__init__(described, preprocessing=preprocessing)
        self.composer = make_composer(self.dim, self.dim)
        self.stage1_trains = stage1_trains

    @property
    @override
    def keeps_features_in_stage1(self) -> bool:
        return self.stage1_trains == "composer"

    def image_features(self, images: Tensor) -> Tensor:
        """(B, D) raw features of the visual tower."""
        if images.is_floating_point():
            return images.to(self.clip.logit_scale.dtype)
        features_BD: Tensor = self.clip.encode_image(self.pixels(images))
        return features_BD

    @override
    def encode_target(self, images: Tensor) -> Tensor:
        return functional.normalize(self.image_features(images), dim=-1)

    @override
    def encode_query(self, images: Tensor | None, tokens: Tensor | None) -> Tensor:
        image = None if images is None else _encoded(self.image_features(images))
        text = None if tokens is None else _encoded(text_features(self.clip, tokens))
        return functional.normalize(self.composer(image, text), dim=-1)

    def frozen_in_stage1(self) -> Sequence[nn.Module | nn.Parameter]:
        """Nothing, as published, unless a composer is put on a CLIP that has been trained."""
        return [self.clip] if self.stage1_trains == "composer" else []

    def frozen_in_stage2(self) -> Sequence[nn.Module | nn.Parameter]:
        """The visual tower."""
        return [self.clip.visual]


def _encoded(features_BD: Tensor) -> Encoded:
    """A vector that is its own single token."""
    return Encoded(features_BD, features_BD[:, None], torch.zeros_like(features_BD[:, :1], dtype=torch.bool))
