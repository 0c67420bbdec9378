"""What the networks of ``heads`` and ``residual`` share: a frozen EfficientNet-Lite0 and a frozen MiniLM.

B images or texts, P tokens. Neither is a module: the weights are those of packages and belong in no checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from typing_extensions import override

from spn4cir_core.backbones.base import Network
from spn4cir_core.engine.progress import without_loading_bar

TEXT_FEATURES = 384
TOKEN_LIMIT = 128
BATCH_ROWS = 64


class FrozenImages:
    """Features by an EfficientNet-Lite0, which is loaded for the first pictures."""

    def __init__(self, image_px: int) -> None:
        self.image_px = image_px
        self._trunk: Any = None

    def read(self, images: Sequence[Image.Image], features: Callable[[Any, Tensor], Tensor]) -> np.ndarray:
        """(B, F) float32, one picture at a time: ``features(trunk, pixels)`` of pictures scaled to ``image_px``."""
        from spn4cir_core.models.fixed_batches import in_fixed_batches
        from spn4cir_core.models.lite0 import lite0_pixels, load_lite0

        if self._trunk is None:
            self._trunk = load_lite0().to(memory_format=torch.channels_last)
        pixels = lite0_pixels(images, self.image_px).contiguous(memory_format=torch.channels_last)
        return in_fixed_batches(lambda part: features(self._trunk, part), pixels)


class FrozenTexts:
    """MiniLM sentence vectors by token ids; each text passes the trunk once."""

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


class FrozenTrunksNetwork(Network):
    """Mixed into a network that reads pictures and texts by these; it says itself which features of pictures."""

    texts: FrozenTexts
    image_trunk: FrozenImages

    @override
    def expect_texts(self, texts: Sequence[str]) -> None:
        self.texts.prepare(texts)

    @override
    def tokenize(self, texts: Sequence[str]) -> Tensor:
        return self.texts.tokenize(texts)

    @override
    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self.texts.tokenizer(list(texts), truncation=False)["input_ids"]]

    @property
    @override
    def token_limit(self) -> int:
        return TOKEN_LIMIT
