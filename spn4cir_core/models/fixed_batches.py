"""Rows that do not depend on their neighbours: every forward pass sees a batch of one fixed size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock, Semaphore, local
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

Batch = TypeVar("Batch")
Result = TypeVar("Result")

Dtype = Literal["float32", "bfloat16", "float16"]
"""What a network computes in, by autocast; weights and vectors stay float32."""

# Matrix products pick their kernels by shape, by the place of a row in the batch and by the number of threads, so on a
# CPU the last bits of a row differ between batches even of one size. One image at a time on one thread, several side
# by side, costs nothing: small products gain little from threads and lose much where the cores are busy.
ROWS_ON_CPU = 1
ROWS_ON_GPU = 32
ROWS_OF_VECTORS = 32
"""On one thread, of a network that reads features."""


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


def side_by_side(one_batch: Callable[[Batch], Result], batches: Sequence[Batch], device: str = "cpu") -> list[Result]:
    """The results of all batches: on a CPU as many at a time as torch may use threads, each on a single one.

    Inside, grad mode, inference mode and autocast are those of a new thread. Several threads may call this at once; one
    of :func:`single_thread_workers` computes its batches itself, when its turn comes.
    """
    if not device.startswith("cpu"):
        return [one_batch(batch) for batch in batches]
    turns: Semaphore | None = getattr(_worker, "turns", None)
    if turns is not None:
        with turns:
            return [one_batch(batch) for batch in batches]
    with single_thread_workers() as pool:
        return list(pool.map(one_batch, batches))


@contextmanager
def single_thread_workers(least: int = 1) -> Iterator[Executor]:
    """A pool of at least ``least`` threads, of which as many compute at a time as torch may use, each on itself alone.

    What they call :func:`side_by_side` for is computing, all else is not: reading files, say.
    """
    with _single_threads() as threads:
        pool = ThreadPoolExecutor(max(threads, least), initializer=_compute_alone, initargs=(Semaphore(threads),))
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


_worker = local()


def _compute_alone(turns: Semaphore) -> None:
    import torch

    torch.set_num_threads(1)
    _worker.turns = turns


def in_parts(
    of_rows: Callable[[slice], Result], rows: int, device: str, rows_at_once: int = ROWS_OF_VECTORS
) -> list[Result]:
    """What a network makes of rows 0 … ``rows``, without gradients: on a CPU by parts of one size, side by side.

    The autocast that the caller is in holds for all.
    """
    import torch

    kind = torch.device(device).type
    dtype, is_cast = torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)

    def one_part(part: slice) -> Result:
        with torch.inference_mode(), torch.autocast(kind, dtype, enabled=is_cast):
            return of_rows(part)

    size = rows_at_once if kind == "cpu" else max(1, rows)
    return side_by_side(one_part, [slice(start, min(start + size, rows)) for start in range(0, rows, size)], kind)


_lock = Lock()
_callers: list[int] = []
"""For each caller that is inside the process's own number of threads: whoever comes while others are in reads a 1."""


@contextmanager
def _single_threads() -> Iterator[int]:
    """Inside, threads may set their number to 1, which some libraries then take for all; the last to leave restores it.

    Gives the number that the process had before the first came in.
    """
    import torch

    with _lock:
        threads = _callers[0] if _callers else _of_the_process()
        _callers.append(threads)
    try:
        yield threads
    finally:
        with _lock:
            _callers.pop()
            if not _callers:
                torch.set_num_threads(threads)


def _of_the_process() -> int:
    """Number of threads as a new thread has it; the caller's may be one that it began with while others were inside."""
    import torch

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


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
