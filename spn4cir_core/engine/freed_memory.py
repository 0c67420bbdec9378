"""Memory that networks free and ask for again in every layer stays with the process."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

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
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES) and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))
