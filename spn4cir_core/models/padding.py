"""Token ids of several texts as one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def padded(rows: Sequence[Sequence[int]], padding: int) -> Tensor:
    """(B, L) int64: B rows of ids, as long as the longest, filled up with ``padding``."""
    import torch

    filled_BL = np.full((len(rows), max(map(len, rows), default=1)), padding, np.int64)
    for filled, numbers in zip(filled_BL, rows, strict=True):
        filled[: len(numbers)] = numbers
    return torch.from_numpy(filled_BL)
