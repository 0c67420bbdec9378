"""Rows that do not depend on their neighbours: every forward pass sees a batch of one fixed size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

Batch = TypeVar("Batch")

Dtype = Literal["float32", "bfloat16", "float16"]
"""What a network computes in, by autocast; weights and vectors stay float32."""

# Matrix products pick their kernels by shape, by the place of a row in the batch and by the number of threads, so on a
# CPU the last bits of a row differ between batches even of one size. One image at a time on one thread, several side
# by side, costs nothing: small products gain little from threads and lose much where the cores are busy.
ROWS_ON_CPU = 1
ROWS_ON_GPU = 32


def in_fixed_batches(
    forward: Callable[[torch.Tensor], torch.Tensor], pixels_BCHW: torch.Tensor, dtype: Dtype = "float32"
) -> np.ndarray:
    """Apply ``forward`` to a fixed number of images at a time, the last batch padded with zeros.

    On a CPU it is called from several threads at once.

    Returns:
        (B, D) float32.
    """
    import torch

    kind = pixels_BCHW.device.type
    rows = ROWS_ON_CPU if kind == "cpu" else ROWS_ON_GPU

    def one_batch(start: int) -> np.ndarray:
        part = pixels_BCHW[start : start + rows]
        padding = part.new_zeros((rows - len(part), *part.shape[1:]))
        with torch.inference_mode(), torch.autocast(kind, getattr(torch, dtype), enabled=dtype != "float32"):
            rows_BD: np.ndarray = forward(torch.cat([part, padding]))[: len(part)].float().cpu().numpy()
        return rows_BD

    return np.concatenate(side_by_side(one_batch, range(0, len(pixels_BCHW), rows), kind))


def side_by_side(
    one_batch: Callable[[Batch], np.ndarray], batches: Sequence[Batch], device: str = "cpu"
) -> list[np.ndarray]:
    """The results of all batches: on a CPU as many at a time as torch may use threads, each on a single one."""
    import torch

    if not device.startswith("cpu"):
        return [one_batch(batch) for batch in batches]
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(one_batch, batches))
    finally:
        torch.set_num_threads(threads)  # some libraries know one number for all threads


def to_device(pixels_BCHW: torch.Tensor, device: str) -> torch.Tensor:
    """Copy to the device; to a GPU from pinned memory, so that the next pictures are prepared meanwhile."""
    if device.startswith("cuda"):
        return pixels_BCHW.pin_memory().to(device, non_blocking=True)
    return pixels_BCHW.to(device)


def torch_device(name: str) -> str:
    """The device meant by a setting; ``auto`` is this process's GPU where there is one."""
    import torch

    if name != "auto":
        return name
    return f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_available() else "cpu"
