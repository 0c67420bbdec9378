"""The network of the ``lora`` backbone. B images or texts, L bytes of a text, D dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize
from typing_extensions import override

from spn4cir_core.backbones.base import ExportedEncoder, ExportedInputs
from spn4cir_core.backbones.byte_tokens import ByteTokens, texts_of
from spn4cir_core.backbones.composer_networks import ComposerNetwork, Encoded
from spn4cir_core.backbones.lora.adapters import QUERY, TARGET, AdaptedEncoder
from spn4cir_core.backbones.pixels import target_padded_squares


class LoraNetwork(nn.Module, ByteTokens):
    """Adapters inside one encoder: one for targets, and from stage 2 on another for queries; and a composer."""

    def __init__(
        self, encoder: AdaptedEncoder, image_px: int, make_composer: Callable[[int, int], ComposerNetwork]
    ) -> None:
        super().__init__()
        self.image_px, self._encoder = image_px, encoder
        self._together = encoder.settings.together
        self._prompt, self._query_prompt = encoder.settings.prompt, encoder.settings.query_prompt
        self.target = self._encoder.add(TARGET)
        self.query: nn.ParameterDict | None = None
        with torch.no_grad():
            self.dim = self._encoder.vectors(["a"], "", self._device).shape[1]
        self.composer = make_composer(self.dim, self.dim)

    @override
    def state(self) -> dict[str, Any]:
        return {"query_encoder_is_apart": self.query is not None}

    @override
    def untie_query_encoder(self) -> None:
        if self.query is None:
            self.query = self._encoder.add(QUERY)
            with torch.no_grad():
                for own, shared in zip(self.query.values(), self.target.values(), strict=True):
                    own.copy_(shared)

    @override
    def target_follows(self) -> Sequence[tuple[nn.Parameter, nn.Parameter]]:
        own = () if self.query is None else self.query.values()
        return list(zip(self.target.values(), own, strict=False))

    @override
    def frozen_in_stage2(self) -> Sequence[nn.Module | nn.Parameter]:
        return [self.target]

    @override
    def read_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        return target_padded_squares(images, self.image_px)

    @override
    def encode_target(self, images: Tensor) -> Tensor:
        return self._unit(TARGET, _pictures(images), self._prompt)

    @override
    def encode_query(self, images: Tensor | None, tokens: Tensor | None) -> Tensor:
        pictures = None if images is None else _pictures(images)
        texts = None if tokens is None else texts_of(tokens)
        if pictures is not None and texts is not None and self._together:
            both = [{"image": image, "text": text} for image, text in zip(pictures, texts, strict=True)]
            return self._unit(self._of_queries, both, self._query_prompt)
        image = None if pictures is None else _encoded(self._unit(self._of_queries, pictures, self._prompt))
        text = None if texts is None else _encoded(self._unit(self._of_queries, texts, self._query_prompt))
        return normalize(self.composer(image, text), dim=-1)

    @override
    def exported_inputs(self) -> ExportedInputs:
        """The encoder with its adapters merged, twice where queries have one of their own, and the composer."""
        folders = {TARGET: "target_encoder"} | ({} if self.query is None else {QUERY: "query_encoder"})
        sides = {"target": folders[TARGET], "query": folders[self._of_queries]}

        def save(folder: Path) -> None:
            for adapter, name in folders.items():
                self._encoder.merged(adapter).save(str(folder / name), create_model_card=False)

        about = self._encoder.settings.exported_settings() | sides
        picture = {"fit": "target_pad", "px": self.image_px}
        encoder = ExportedEncoder(ComposedVectors(self.dim, self.composer), self.dim, about, save)
        return ExportedInputs(picture, {}, encoder=encoder)

    @property
    def _of_queries(self) -> str:
        return TARGET if self.query is None else QUERY

    def _unit(self, adapter: str, inputs: Sequence[Any], prompt: str) -> Tensor:
        self._encoder.use(adapter)
        return normalize(self._encoder.vectors(inputs, prompt, self._device), dim=-1)

    @property
    def _device(self) -> torch.device:
        device: torch.device = next(iter(self.target.values())).device
        return device

    @override
    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Where the adapters go, the encoder goes."""
        self._encoder.model._apply(fn)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


class ComposedVectors(nn.Module, ByteTokens):
    """What of the network comes after the encoder: it reads the encoder's vectors in place of images and tokens."""

    def __init__(self, dim: int, composer: ComposerNetwork) -> None:
        super().__init__()
        self.dim, self.composer = dim, composer

    @override
    def state(self) -> dict[str, Any]:
        return {}

    @override
    def frozen_in_stage2(self) -> Sequence[nn.Module | nn.Parameter]:
        return []

    @override
    def read_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        raise NotImplementedError("vectors are given")

    @override
    def encode_target(self, images: Tensor) -> Tensor:
        return normalize(images, dim=-1)

    @override
    def encode_query(self, images: Tensor | None, tokens: Tensor | None) -> Tensor:
        image, text = (None if vectors is None else _encoded(vectors) for vectors in (images, tokens))
        return normalize(self.composer(image, text), dim=-1)


def _pictures(images: Tensor) -> list[Image.Image]:
    """PIL images of (B, 3, px, px) uint8."""
    return [Image.fromarray(pixels_HWC) for pixels_HWC in images.permute(0, 2, 3, 1).cpu().numpy()]


def _encoded(vectors_BD: Tensor) -> Encoded:
    """A vector as its own single token."""
    return Encoded(vectors_BD, vectors_BD[:, None], torch.zeros_like(vectors_BD[:, :1], dtype=torch.bool))
