"""The frozen EfficientNet-Lite0 and the frozen MiniLM of the ``heads`` and ``residual`` networks.

B images or texts, P tokens. Neither is a module: the weights are those of packages and belong in no checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from spn4cir_core.backbones.base import ExportedInputs, Network
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.models.lite0 import lite0_scaled
from spn4cir_core.models.minilm import MiniLm, MiniLmTokenizer, minilm_folder
from spn4cir_core.models.padding import padded
from spn4cir_core.models.precision import Precision
from spn4cir_core.models.sentence_encoder import SentenceEncoder

TEXT_FEATURES = 384
TOKEN_LIMIT = 128
PADDING = 0
"""BERT's ``[PAD]``."""
MOST_ASKED = 1 << 16
"""Texts that nobody prepared and whose vectors are remembered, 1.5 kB each; beyond it they are encoded anew."""


class FrozenTexts:
    """MiniLM sentence vectors by token ids; each text passes the trunk once, which is loaded at the first new one."""

    def __init__(self, precision: Precision) -> None:
        self.encoder = SentenceEncoder(max_tokens=TOKEN_LIMIT, precision=precision, device="cpu")
        self.tokenizer = MiniLmTokenizer(TOKEN_LIMIT)
        self._encode = FirstUse(self.encoder.start_with_tokens)
        self._known: dict[tuple[int, ...], Tensor] = {}
        self._prepared = 0
        self._ids: dict[str, tuple[int, ...]] = {}
        self._recorded: MiniLm | None = None

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """(B, P) ids, zero where there is no token."""
        return padded(self._keys(texts), PADDING)

    def features(self, tokens_BP: Tensor) -> Tensor:
        """(B, 384) float32 unit vectors on the tokens' device: the masked mean of MiniLM's last layer."""
        if torch.compiler.is_exporting():
            return self._computed(tokens_BP)
        keys = [tuple(filter(None, row)) for row in tokens_BP.tolist()]
        known = self._known  # this one has them all, whatever another thread forgets meanwhile
        self._learn(keys, known)
        if len(known) - self._prepared > MOST_ASKED:
            self._known = {key: known[key] for key in list(known)[: self._prepared]}
        return torch.stack([known[key] for key in keys]).to(tokens_BP.device)

    def prepare_recording(self) -> None:
        """Load MiniLM in float32: a graph can be recorded of operations on tensors alone, and looks nothing up."""
        self._recorded = MiniLm("cpu", torch.float32)

    def _computed(self, tokens_BP: Tensor) -> Tensor:
        """As :meth:`features`, of every text anew."""
        assert self._recorded is not None
        mask_BP = (tokens_BP != PADDING).long()
        hidden_BPW = self._recorded(tokens_BP, mask_BP)
        mean_BW = (hidden_BPW * mask_BP[:, :, None]).sum(1) / mask_BP.sum(1)[:, None]
        return torch.nn.functional.normalize(mean_BW, dim=-1)

    def remember(self, texts: Sequence[str], vectors_TF: np.ndarray) -> None:
        """Take the vectors of texts from a store instead of encoding them."""
        self._remember_ids(texts)
        # A row of its own each: one that is a part of a large array would keep all of it in memory.
        self._known.update(zip(self._keys(texts), (torch.from_numpy(row.copy()) for row in vectors_TF), strict=True))
        self._prepared = len(self._known)

    def prepare(self, texts: Sequence[str]) -> None:
        """Encode the texts that are not known yet."""
        self._remember_ids(texts)
        self._learn(self._keys(texts), self._known)
        self._prepared = len(self._known)

    def _keys(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        if all(text in self._ids for text in texts):
            return [self._ids[text] for text in texts]
        return [tuple(ids) for ids in self.tokenizer.ids(texts)]

    def _remember_ids(self, texts: Sequence[str]) -> None:
        """A training reads its texts again and again; what is only asked once is cut into tokens each time."""
        new = [text for text in texts if text not in self._ids]
        self._ids.update(zip(new, map(tuple, self.tokenizer.ids(new)), strict=True))

    def _learn(self, keys: Sequence[tuple[int, ...]], known: dict[tuple[int, ...], Tensor]) -> None:
        if new := sorted(set(keys) - known.keys()):
            known.update(zip(new, map(torch.clone, torch.from_numpy(self._encode(new))), strict=True))


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

    def exported_as(self, picture: dict[str, Any], trunk: Callable[[Tensor], Tensor]) -> ExportedInputs:
        """What :meth:`exported_inputs` gives: MiniLM's texts, and pictures whose pixels in -1 … 1 pass ``trunk``."""
        self.texts.prepare_recording()
        tokenizer = (minilm_folder() / "tokenizer.json").read_text(encoding="utf-8")
        text = {"tokenizer": "bert", "limit": TOKEN_LIMIT}
        return ExportedInputs(picture, text, tokenizer, lambda pixels_BCHW: trunk(lite0_scaled(pixels_BCHW)))
