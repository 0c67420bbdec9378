"""The network of the built-in backbone. B images or texts, P tokens, W = 96 channels, D dimensions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from typing_extensions import override

from spn4cir_core.backbones.base import ExportedInputs
from spn4cir_core.backbones.composer_networks import ComposerNetwork, Encoded
from spn4cir_core.backbones.small.words import FIRST_WORD, PADDING, TOKEN_LIMIT, WordTokens, words_of
from spn4cir_core.backbones.two_towers import TwoTowerNetwork
from spn4cir_core.embeddings.picture_vectors import unit_vectors

WIDTH = 96


class Tower(nn.Module, ABC):
    """Encodes images or tokens; keeps no activations for the backward pass where it saves memory."""

    checkpointed = False

    def forward(self, inputs: Tensor) -> Encoded:
        """Encode a batch."""
        if not (self.checkpointed and torch.is_grad_enabled()):
            return self.encode(inputs)
        encoded: Encoded = checkpoint(self.encode, inputs, use_reentrant=False)
        return encoded

    @abstractmethod
    def encode(self, inputs: Tensor) -> Encoded:
        """What :meth:`forward` runs, twice where it is checkpointed."""


class ImageTower(Tower):
    """Four convolutions, then a 3 x 3 grid of tokens."""

    GRID = 3

    def __init__(self, dim: int) -> None:
        super().__init__()
        sizes = [(3, 24, 2), (24, 48, 2), (48, WIDTH, 2), (WIDTH, WIDTH, 1)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=stride, padding=1) for before, after, stride in sizes
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, after) for _, after, _ in sizes)
        self.pool = nn.AdaptiveAvgPool2d(self.GRID)
        self.positions = nn.Parameter(torch.randn(self.GRID**2, WIDTH) * 0.02)
        self.out = nn.Linear(self.GRID**2 * WIDTH, dim)

    def encode(self, inputs: Tensor) -> Encoded:
        """Encode (B, 3, px, px) uint8 images."""
        features = inputs.to(self.positions.dtype).div(127.5).sub(1).contiguous(memory_format=torch.channels_last)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            features = nn.functional.relu(norm(convolution(features)))
        tokens_BPW = self.pool(features).flatten(2).transpose(1, 2) + self.positions
        padding = torch.zeros(tokens_BPW.shape[:2], dtype=torch.bool, device=tokens_BPW.device)
        return Encoded(self.out(tokens_BPW.flatten(1)), tokens_BPW, padding)


class FrozenTower(Tower):
    """The vector of a frozen image encoder, cut into T tokens that are mapped one by one."""

    def __init__(self, features: int, tokens: int, dim: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.norm = nn.LayerNorm(features // tokens)
        self.linear = nn.Linear(features // tokens, WIDTH)
        self.positions = nn.Parameter(torch.randn(tokens, WIDTH) * 0.02)
        self.out = nn.Linear(tokens * WIDTH, dim)

    def encode(self, inputs: Tensor) -> Encoded:
        """Encode (B, F) vectors."""
        tokens_BPW = self.linear(self.norm(inputs.float().view(len(inputs), self.tokens, -1))) + self.positions
        padding = torch.zeros(tokens_BPW.shape[:2], dtype=torch.bool, device=tokens_BPW.device)
        return Encoded(self.out(tokens_BPW.flatten(1)), tokens_BPW, padding)


class TextTower(Tower):
    """Word and position embeddings, one transformer layer, mean pooling."""

    def __init__(self, words: int, dim: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words + FIRST_WORD, WIDTH, padding_idx=PADDING)
        self.positions = nn.Parameter(torch.randn(TOKEN_LIMIT, WIDTH) * 0.02)
        self.layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True)
        self.norm = nn.LayerNorm(WIDTH)
        self.out = nn.Linear(WIDTH, dim)

    def encode(self, inputs: Tensor) -> Encoded:
        """Encode (B, P) token ids; a text without a word counts as one unknown word."""
        padding_BP = inputs == PADDING
        tokens_BPW = self.words(inputs) + self.positions[: inputs.shape[1]]
        tokens_BPW = self.norm(self.layer(tokens_BPW, src_key_padding_mask=padding_BP))
        kept_BP1 = (~padding_BP).unsqueeze(-1).to(tokens_BPW.dtype)
        mean_BW = (tokens_BPW * kept_BP1).sum(1) / kept_BP1.sum(1)
        return Encoded(self.out(mean_BW), tokens_BPW, padding_BP)


@dataclass(frozen=True)
class FrozenImages:
    """A frozen image encoder in place of convolutions."""

    read: Callable[[Sequence[Image.Image]], np.ndarray]
    """From B pictures to (B, F) float32 vectors."""
    features: int
    tokens: int


class SmallNetwork(TwoTowerNetwork):
    """Shared image tower, text tower, composer."""

    def __init__(
        self,
        vocabulary: Sequence[str],
        *,
        dim: int,
        image_px: int,
        make_composer: Callable[[int, int], ComposerNetwork],
        frozen: FrozenImages | None = None,
    ) -> None:
        """``make_composer(dim, token_dim)`` is called last, so that the towers' weights do not depend on it."""
        image = ImageTower(dim) if frozen is None else FrozenTower(frozen.features, frozen.tokens, dim)
        text = TextTower(len(vocabulary), dim)
        super().__init__(dim, image, text, make_composer(dim, WIDTH))
        self.image_px, self.frozen = image_px, frozen
        self.vocabulary = list(vocabulary)
        self._words = WordTokens(vocabulary)

    @override
    def state(self) -> dict[str, Any]:
        frozen = {} if self.frozen is None else {"image_features": self.frozen.features}
        return {**super().state(), "vocabulary": self.vocabulary, **frozen}

    @override
    def checkpoint_activations(self) -> None:
        for part in self.modules():
            if isinstance(part, Tower):
                part.checkpointed = True

    def read_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(B, 3, px, px) uint8, or (B, F) float32 unit vectors by the frozen encoder."""
        if self.frozen is not None:
            return unit_vectors(self.frozen.read(images))[0]
        size = (self.image_px, self.image_px)
        resized = [image if image.size == size else image.resize(size, Image.Resampling.BICUBIC) for image in images]
        return np.stack([np.asarray(image, dtype=np.uint8).transpose(2, 0, 1) for image in resized])

    @override
    def tokenize(self, texts: Sequence[str]) -> Tensor:
        return self._words.ids(texts)

    @override
    def exported_inputs(self) -> ExportedInputs:
        if self.frozen is not None:
            return super().exported_inputs()
        text = {"tokenizer": "words", "vocabulary": self.vocabulary}
        return ExportedInputs({"fit": "squeeze", "px": self.image_px}, text)

    @override
    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return [len(words_of(text)) for text in texts]

    @override
    def has_word(self, word: str) -> bool:
        return self._words.has(word)

    @property
    @override
    def token_limit(self) -> int:
        return TOKEN_LIMIT
