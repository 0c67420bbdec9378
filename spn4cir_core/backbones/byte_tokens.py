"""Texts as tokens of one byte each, for networks whose encoder reads texts itself and cuts them at a limit of its own.

B texts, L bytes of a text. A token is the byte plus 1; 0 is padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from spn4cir_core.backbones.base import Network

BYTE_LIMIT = 2000
"""Longer texts lose their end, after a whole character."""


def cut_text(text: str) -> str:
    """The text up to the limit."""
    return text.encode()[:BYTE_LIMIT].decode("utf-8", "ignore")


def byte_tokens(texts: Sequence[str]) -> Tensor:
    """(B, L) int64."""
    rows = [cut_text(text).encode() for text in texts]
    tokens_BL = torch.zeros((len(rows), max(map(len, rows), default=0)), dtype=torch.int64)
    for tokens_L, row in zip(tokens_BL, rows, strict=True):
        tokens_L[: len(row)] = torch.tensor(list(row), dtype=torch.int64) + 1
    return tokens_BL


def texts_of(tokens_BL: Tensor) -> list[str]:
    """The texts that :func:`byte_tokens` was given, up to the limit."""
    return [bytes(number - 1 for number in row if number).decode("utf-8", "ignore") for row in tokens_BL.tolist()]


class ByteTokens(Network):
    """The part of such a network that makes tokens; their numbers and their limit are in bytes."""

    @override
    def tokenize(self, texts: Sequence[str]) -> Tensor:
        return byte_tokens(texts)

    @override
    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return [len(text.encode()) for text in texts]

    @property
    @override
    def token_limit(self) -> int:
        return BYTE_LIMIT
