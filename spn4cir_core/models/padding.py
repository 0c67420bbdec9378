"""Token ids of several texts as one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def padded(rows: Sequence[Sequence[int]], padding: int) -> Tensor:
    """(B, L) int64: B rows of ids, as long as the longest, filled up with ``padding``."""
    import torch

    longest = max(map(len, rows), default=1)
    filled = [[*numbers, *[padding] * (longest - len(numbers))] for numbers in rows]
    return torch.tensor(filled, dtype=torch.int64).reshape(len(rows), longest)
