"""The network of the ``heads`` backbone. B images or texts, P tokens, D dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from typing_extensions import override

from spn4cir_core.backbones.composer_networks import ComposerNetwork, Encoded
from spn4cir_core.backbones.two_towers import TwoTowerNetwork
from spn4cir_core.engine.progress import without_loading_bar
from spn4cir_core.models.sentence_encoder import minilm_folder

IMAGE_FEATURES, TEXT_FEATURES = 1280, 384
TOKEN_LIMIT = 128
BATCH_ROWS = 64


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


class FrozenTexts:
    """MiniLM sentence vectors by token ids; each text passes the trunk once.

    Not a module: the weights are those of a package and belong in no checkpoint.
    """

    def __init__(self, folder: str) -> None:
        from transformers import AutoModel, AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        with without_loading_bar():
            self.model: Any = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
        self._known: dict[tuple[int, ...], Tensor] = {}

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """(B, P) ids, zero where there is no token."""
        encoded = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=TOKEN_LIMIT, return_tensors="pt"
        )
        ids: Tensor = encoded["input_ids"] * encoded["attention_mask"]
        return ids

    def features(self, tokens_BP: Tensor) -> Tensor:
        """(B, 384) float32 unit vectors on the tokens' device: the masked mean of MiniLM's last layer."""
        keys = [tuple(number for number in row if number) for row in tokens_BP.tolist()]
        for key in dict.fromkeys(keys):
            if key not in self._known:
                self._encode([key])
        return torch.stack([self._known[key] for key in keys]).to(tokens_BP.device)

    def prepare(self, texts: Sequence[str]) -> None:
        """Encode texts in batches of equal length, which depend on the texts alone: equal sets, equal vectors."""
        rows = self.tokenizer(list(texts), truncation=True, max_length=TOKEN_LIMIT)["input_ids"]
        keys = sorted({tuple(row) for row in rows}, key=lambda key: (len(key), key))
        for _, group in groupby(keys, key=len):
            same_length = list(group)
            for start in range(0, len(same_length), BATCH_ROWS):
                self._encode(same_length[start : start + BATCH_ROWS])

    @torch.no_grad()
    def _encode(self, keys: Sequence[tuple[int, ...]]) -> None:
        tokens_BP = torch.tensor(keys)
        hidden_BPW: Tensor = self.model(input_ids=tokens_BP, attention_mask=torch.ones_like(tokens_BP))[0]
        for key, vector in zip(keys, nn.functional.normalize(hidden_BPW.mean(dim=1), dim=-1), strict=True):
            self._known[key] = vector.clone()


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


class HeadsNetwork(TwoTowerNetwork):
    """Image head, text head, composer."""

    def __init__(
        self, *, dim: int, hidden: int, image_px: int, make_composer: Callable[[int, int], ComposerNetwork]
    ) -> None:
        """``make_composer(dim, token_dim)`` is called last, so that the heads' weights do not depend on it."""
        texts = FrozenTexts(str(minilm_folder()))
        image, text = Head(IMAGE_FEATURES, hidden, dim), TextTower(texts, hidden, dim)
        super().__init__(dim, image, text, make_composer(dim, dim))
        self.image_px = image_px
        self._texts = texts
        # In a list, because a module set as an attribute would join this network's weights.
        self._trunk: list[Any] = []

    def read_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(B, 1280) float32 features of the frozen trunk, one picture at a time."""
        from spn4cir_core.models.fixed_batches import in_fixed_batches
        from spn4cir_core.models.lite0 import lite0_pixels, load_lite0

        if not self._trunk:
            self._trunk.append(load_lite0().to(memory_format=torch.channels_last))
        trunk = self._trunk[0]
        pixels = lite0_pixels(images, self.image_px).contiguous(memory_format=torch.channels_last)
        return in_fixed_batches(lambda part: trunk.forward_head(trunk.forward_features(part), pre_logits=True), pixels)

    @override
    def expect_texts(self, texts: Sequence[str]) -> None:
        self._texts.prepare(texts)

    @override
    def tokenize(self, texts: Sequence[str]) -> Tensor:
        return self._texts.tokenize(texts)

    @override
    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self._texts.tokenizer(list(texts), truncation=False)["input_ids"]]

    @property
    @override
    def token_limit(self) -> int:
        return TOKEN_LIMIT
