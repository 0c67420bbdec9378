"""Decoding pictures of strangers in a process of its own, with limits that the operating system keeps."""

from __future__ import annotations

import resource
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

from spn4cir_core.engine.child_processes import child_processes
from spn4cir_core.images.files import PictureError, decode

if TYPE_CHECKING:
    from PIL import Image

CRASHED = "decoder crashed"
CPU_S = 60
"""Seconds of processor time per picture: the system ends a hanging decoder, but not one that waits for a slow disk."""
BYTES_PER_PIXEL, SPARE_BYTES = 64, 1 << 30
"""Memory for one picture beyond what the process has; grey of 32 bits, the greediest, takes about 30 a pixel."""
MEMORY = Path("/proc/self/statm")


def limit_decoding(max_pixels: int) -> None:
    """Give this process, which decodes and does nothing else, time and memory for one more picture.

    More computing than :data:`CPU_S` ends the process; more memory is a MemoryError, where the system can tell (Linux).
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + 1 + CPU_S)
    if MEMORY.exists():
        held = int(MEMORY.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        _lower(resource.RLIMIT_AS, held + BYTES_PER_PIXEL * max_pixels + SPARE_BYTES)


class ConfinedDecoder:
    """Decodes one picture at a time in another process, which is started by the first one; for many threads."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels, self._lock = max_pixels, threading.Lock()
        self._process: ProcessPoolExecutor | None = None

    def decode(self, data: bytes) -> Image.Image:
        """As :func:`spn4cir_core.images.files.decode`.

        Raises:
            PictureError: also where the decoder crashed, hung or ran out of memory; the next picture gets a new one.
        """
        from PIL import Image

        with self._lock:
            if self._process is None:
                self._process = child_processes(1)
            try:
                size, pixels = self._process.submit(_decode, data, self._max_pixels).result()
            except BrokenProcessPool as error:
                self._process = None
                raise PictureError(CRASHED, "the process that decoded it died") from error
            except MemoryError as error:
                raise PictureError(CRASHED, "it needs too much memory") from error
        return Image.frombytes("RGB", size, pixels)

    def close(self) -> None:
        """End the process, unless it decodes just now: then it ends with this one."""
        if self._lock.acquire(blocking=False):
            try:
                if self._process is not None:
                    self._process.shutdown()
                self._process = None
            finally:
                self._lock.release()


def _decode(data: bytes, max_pixels: int) -> tuple[tuple[int, int], bytes]:
    limit_decoding(max_pixels)
    image = decode(data, max_pixels)
    return image.size, image.tobytes()


def _lower(kind: int, limit: int) -> None:
    _, most = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))
