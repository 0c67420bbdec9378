"""Memory that networks free and ask for again in every layer stays with the process while a stage runs."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pyarrow as pa

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's mallopt(3)."""
LARGEST_KEPT_BYTES, KEPT_BYTES = 64 << 20, 128 << 20


@cache
def keep_freed_memory() -> bool:
    """Let glibc keep 128 MiB of freed memory; other C libraries and systems are left as they are.

    By default each tensor of some megabytes is given back and comes anew, which the system fills with zeros: a seventh
    of the processor time of a pass over pictures.

    Returns:
        Whether the C library does.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES) and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Inside the block freed memory stays with the process; after it all of it goes back, which takes milliseconds."""
    keep_freed_memory()
    try:
        yield
    finally:
        pa.default_memory_pool().release_unused()
        malloc_trim = _of_glibc("malloc_trim")
        if malloc_trim is not None:
            malloc_trim(0)


def _of_glibc(name: str) -> Any:
    """A function of the C library, or None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
