"""Rows that do not depend on their neighbours: every forward pass sees a batch of one fixed size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import torch

Dtype = Literal["float32", "bfloat16", "float16"]
"""What a network computes in, by autocast; weights and vectors stay float32."""

# Matrix products pick their kernels by shape and by the place of a row in the batch, so on a CPU the last bits
# of a row differ between batches even of one size. One image at a time costs a CPU little.
ROWS_ON_CPU = 1
ROWS_ON_GPU = 32


def in_fixed_batches(
    forward: Callable[[torch.Tensor], torch.Tensor], pixels_BCHW: torch.Tensor, dtype: Dtype = "float32"
) -> np.ndarray:
    """Apply ``forward`` to a fixed number of images at a time, the last batch padded with zeros.

    Returns:
        (B, D) float32.
    """
    import torch

    kind = pixels_BCHW.device.type
    rows = ROWS_ON_CPU if kind == "cpu" else ROWS_ON_GPU
    outputs = []
    narrow = torch.autocast(kind, getattr(torch, dtype), enabled=dtype != "float32")
    with torch.inference_mode(), narrow:
        for start in range(0, len(pixels_BCHW), rows):
            part = pixels_BCHW[start : start + rows]
            padding = part.new_zeros((rows - len(part), *part.shape[1:]))
            outputs.append(forward(torch.cat([part, padding]))[: len(part)].float().cpu().numpy())
    return np.concatenate(outputs)


def torch_device(name: str) -> str:
    """The device meant by a setting; ``auto`` is the GPU where there is one."""
    import torch

    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"
