"""The network of the ``frozen`` backbone. B images or texts, L bytes of a text, D dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from typing_extensions import override

from spn4cir_core.backbones.base import ExportedEncoder, ExportedInputs
from spn4cir_core.backbones.byte_tokens import ByteTokens, cut_text, texts_of
from spn4cir_core.backbones.composer_networks import ComposerNetwork, Encoded
from spn4cir_core.backbones.two_towers import TwoTowerNetwork
from spn4cir_core.embeddings.base import ImageEncoder
from spn4cir_core.embeddings.sentence_transformers_encoder import SentenceTransformersEncoder
from spn4cir_core.errors import InputError
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.models.products import Linear
from spn4cir_core.store.fingerprints import fingerprint

ENCODER = "encoder"
"""Folder of the encoder in an exported model."""


class TextSide:
    """The text side of an image encoder, as a text encoder whose vectors the store keeps."""

    def __init__(self, encoder: ImageEncoder) -> None:
        self.encoder = encoder

    def fingerprint(self) -> str:
        """Hash of weights and settings, an instruction for queries among them."""
        return fingerprint({"settings": self.encoder, "weights": self.encoder.fingerprint()})

    def start(self) -> Callable[[Sequence[str]], np.ndarray]:
        """The function from T texts to (T, D) float32 unit vectors; an encoder is loaded once a process."""
        encode = _started(self.encoder)
        return lambda texts: unit(np.asarray(encode(texts), np.float32))


@lru_cache(maxsize=2)
def _started(encoder: ImageEncoder) -> Callable[[Sequence[str]], np.ndarray]:
    return encoder.start_texts()


def unit(vectors_BD: np.ndarray) -> np.ndarray:
    """Rows of length 1; zeros for a row that holds no finite number: an input that the encoder refuses."""
    finite_BD = np.where(np.isfinite(vectors_BD).all(1, keepdims=True), vectors_BD, 0)
    normed: np.ndarray = finite_BD / np.maximum(np.linalg.norm(finite_BD, axis=1, keepdims=True), 1e-12)
    return normed.astype(np.float32)


class Texts:
    """Vectors of texts; each text passes the encoder once, which is loaded at the first new one."""

    def __init__(self, encoder: ImageEncoder, dim: int) -> None:
        self.side, self._dim = TextSide(encoder), dim
        self._encode = FirstUse(self.side.start)
        self._known: dict[str, Tensor] = {}

    def remember(self, texts: Sequence[str], vectors_TD: np.ndarray) -> None:
        """Take the vectors of texts from a store instead of encoding them.

        Raises:
            InputError: the encoder's vectors have another length than when the network was made.
        """
        if vectors_TD.shape[1:] != (self._dim,):
            raise InputError(
                f"the backbone 'frozen' was made with vectors of {self._dim} numbers, and its encoder gives "
                f"{vectors_TD.shape[-1]} now; train again from stage1_checkpoint on"
            )
        # A row of its own each: one that is a part of a large array would keep all of it in memory.
        rows = (torch.from_numpy(row.copy()) for row in vectors_TD)
        self._known.update(zip(map(cut_text, texts), rows, strict=True))

    def vectors(self, tokens_BL: Tensor) -> Tensor:
        """(B, D) float32 unit vectors on the tokens' device."""
        texts = texts_of(tokens_BL)
        self.learn(texts)
        return torch.stack([self._known[text] for text in texts]).to(tokens_BL.device)

    def learn(self, texts: Sequence[str]) -> None:
        """Encode the texts that are not known yet."""
        if new := sorted({text for text in texts if cut_text(text) not in self._known}):
            self.remember(new, self._encode(new))


class Head(nn.Module):
    """The vector itself plus a correction that begins as nothing."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        last = Linear(hidden, dim, bias=False)
        nn.init.zeros_(last.weight)
        self.correction = nn.Sequential(nn.LayerNorm(dim), Linear(dim, hidden), nn.GELU(), last)

    def forward(self, vectors_BD: Tensor) -> Encoded:
        """Map vectors; the result is its own single token."""
        pooled_BD: Tensor = vectors_BD + self.correction(vectors_BD)
        return Encoded(pooled_BD, pooled_BD[:, None], torch.zeros_like(pooled_BD[:, :1], dtype=torch.bool))


class TextTower(nn.Module):
    """A head on the encoder's vectors of texts."""

    def __init__(self, texts: Texts, dim: int, hidden: int) -> None:
        super().__init__()
        self.texts, self.head = texts, Head(dim, hidden)

    def forward(self, tokens_BL: Tensor) -> Encoded:
        """Encode tokens; while a graph is recorded, the encoder's vectors in their stead."""
        vectors_BD = tokens_BL if torch.compiler.is_exporting() else self.texts.vectors(tokens_BL)
        encoded: Encoded = self.head(vectors_BD)
        return encoded


class FrozenNetwork(ByteTokens, TwoTowerNetwork):
    """Image head, text head, composer."""

    def __init__(
        self, *, encoder: ImageEncoder, dim: int, hidden: int, make_composer: Callable[[int, int], ComposerNetwork]
    ) -> None:
        texts = Texts(encoder, dim)
        image, text = Head(dim, hidden), TextTower(texts, dim, hidden)
        super().__init__(dim, image, text, make_composer(dim, dim))
        self.texts = texts
        self._read = FirstUse(encoder.start)

    @override
    def state(self) -> dict[str, Any]:
        return {**super().state(), "dim": self.dim}

    @override
    def exported_inputs(self) -> ExportedInputs:
        encoder = self.texts.side.encoder
        if not isinstance(encoder, SentenceTransformersEncoder):
            raise InputError(
                f"a 'frozen' network is exported with the folder of its encoder, and {encoder.plugin_kind!r} has none "
                "that sentence-transformers loads; its checkpoint holds the heads"
            )
        load = encoder.load

        def save(folder: Path) -> None:
            load().save(str(folder / ENCODER), create_model_card=False)

        about = encoder.exported_settings() | {"together": False, "target": ENCODER, "query": ENCODER}
        return ExportedInputs({"fit": "whole"}, {}, encoder=ExportedEncoder(self, self.dim, about, save))

    @override
    def read_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(B, D) float32 unit vectors; zeros of a picture that the encoder refuses, which its log names."""
        return unit(np.asarray(self._read(images), np.float32))

    @property
    @override
    def sentence_encoder(self) -> TextSide:
        return self.texts.side

    @override
    def remember_texts(self, texts: Sequence[str], vectors_TF: np.ndarray) -> None:
        self.texts.remember(texts, vectors_TF)

    @override
    def expect_texts(self, texts: Sequence[str]) -> None:
        self.texts.learn(texts)
