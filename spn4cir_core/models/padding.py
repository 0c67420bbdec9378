"""Token ids of several texts as one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def padded(rows: Sequence[Sequence[int]], padding: int) -> Tensor:
    """(B, L) int64: B rows of ids, as long as the longest, filled up with ``padding``."""
    import torch

    tokens_BL = torch.full((len(rows), max(map(len, rows), default=1)), padding, dtype=torch.int64)
    for row, numbers in zip(tokens_BL, rows, strict=True):
        row[: len(numbers)] = torch.tensor(numbers)
    return tokens_BL
