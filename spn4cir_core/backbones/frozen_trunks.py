"""The frozen EfficientNet-Lite0 and the frozen MiniLM of the ``heads`` and ``residual`` networks.

B images or texts, P tokens. Neither is a module: the weights are those of packages and belong in no checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from spn4cir_core.backbones.base import Network
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.models.minilm import MiniLmTokenizer
from spn4cir_core.models.precision import Precision
from spn4cir_core.models.sentence_encoder import SentenceEncoder

TEXT_FEATURES = 384
TOKEN_LIMIT = 128


class FrozenTexts:
    """MiniLM sentence vectors by token ids; each text passes the trunk once, which is loaded at the first new one."""

    def __init__(self, precision: Precision) -> None:
        self.encoder = SentenceEncoder(max_tokens=TOKEN_LIMIT, precision=precision, device="cpu")
        self.tokenizer = MiniLmTokenizer(TOKEN_LIMIT)
        self._encode = FirstUse(self.encoder.start_with_tokens)
        self._known: dict[tuple[int, ...], Tensor] = {}

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """(B, P) ids, zero where there is no token."""
        rows = self._keys(texts)
        ids = torch.zeros((len(rows), max(map(len, rows), default=0)), dtype=torch.int64)
        for row, key in zip(ids, rows, strict=True):
            row[: len(key)] = torch.tensor(key)
        return ids

    def features(self, tokens_BP: Tensor) -> Tensor:
        """(B, 384) float32 unit vectors on the tokens' device: the masked mean of MiniLM's last layer."""
        keys = [tuple(number for number in row if number) for row in tokens_BP.tolist()]
        self._learn(keys)
        return torch.stack([self._known[key] for key in keys]).to(tokens_BP.device)

    def remember(self, texts: Sequence[str], vectors_TF: np.ndarray) -> None:
        """Take the vectors of texts from a store instead of encoding them."""
        # A row of its own each: one that is a part of a large array would keep all of it in memory.
        self._known.update(zip(self._keys(texts), (torch.from_numpy(row.copy()) for row in vectors_TF), strict=True))

    def prepare(self, texts: Sequence[str]) -> None:
        """Encode the texts that are not known yet."""
        self._learn(self._keys(texts))

    def _keys(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        return [tuple(ids) for ids in self.tokenizer.ids(texts)]

    def _learn(self, keys: Sequence[tuple[int, ...]]) -> None:
        if new := sorted(set(keys) - self._known.keys()):
            self._known.update(zip(new, map(torch.clone, torch.from_numpy(self._encode(new))), strict=True))


class FrozenTrunksNetwork(Network):
    """Mixed into a network that reads pictures and texts by these; it says itself which features of pictures."""

    texts: FrozenTexts

    @property
    @override
    def sentence_encoder(self) -> SentenceEncoder:
        return self.texts.encoder

    @override
    def remember_texts(self, texts: Sequence[str], vectors_TF: np.ndarray) -> None:
        self.texts.remember(texts, vectors_TF)

    @override
    def expect_texts(self, texts: Sequence[str]) -> None:
        self.texts.prepare(texts)

    @override
    def tokenize(self, texts: Sequence[str]) -> Tensor:
        return self.texts.tokenize(texts)

    @override
    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return self.texts.tokenizer.counts(texts)

    @property
    @override
    def token_limit(self) -> int:
        return TOKEN_LIMIT
