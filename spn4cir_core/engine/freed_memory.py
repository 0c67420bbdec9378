"""Memory that networks free and ask for again in every layer stays with the process while a stage runs, no longer."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Numbers of glibc's mallopt(3)."""
LARGEST_KEPT_BYTES, KEPT_BYTES = 64 << 20, 128 << 20
MADV_DONTNEED = 4
"""Number of Linux's madvise(2)."""
FILE_BYTES, MAPPING_KIB = 128 << 20, 1024
"""Pages of libraries are given back where those of files are more, of parts of libraries that have more of them."""
PROCESS = Path("/proc/self")
_LIBRARY = re.compile(
    r"^([0-9a-f]+)-([0-9a-f]+) .-.. .*\.so[.\d]*\n(?:[A-Z].*\n)*?Rss: +(\d+) kB\n"
    r"(?:[A-Z].*\n)*?Anonymous: +(\d+) kB\n(?:[A-Z].*\n)*?Swap: +(\d+) kB\n",
    re.MULTILINE,
)
"""A part of a library that is not written to, in ``smaps``: its ends, resident pages, and those not of the file."""


@cache
def keep_freed_memory() -> bool:
    """Let glibc keep 128 MiB of freed memory, in one heap for each processor; other C libraries are left as they are.

    By default each tensor of some megabytes is given back and comes anew, which the system fills with zeros: a seventh
    of the processor time of a pass over pictures. And there are eight heaps for each processor, each of which keeps
    what its threads freed: a tenth of the memory of a run.

    Returns:
        Whether the C library does.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return False
    if "MALLOC_ARENA_MAX" not in os.environ:
        mallopt(M_ARENA_MAX, len(os.sched_getaffinity(0)))
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES) and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Inside the block freed memory stays with the process; after it all of it goes back, which takes milliseconds."""
    keep_freed_memory()
    try:
        yield
    finally:
        if "pyarrow" in sys.modules:
            sys.modules["pyarrow"].default_memory_pool().release_unused()
        malloc_trim = _of_glibc("malloc_trim")
        if malloc_trim is not None:
            malloc_trim(0)
            with suppress(OSError, ValueError):  # a system without /proc
                _give_back_library_pages()


def _give_back_library_pages() -> None:
    """Have pages of libraries, most of which are read once, while they are loaded, mapped no longer.

    The system still has them: what is needed again comes back without being read. Importing torch maps 200 MB so.
    """
    shared_pages = int((PROCESS / "statm").read_text().split()[2])
    if shared_pages * resource.getpagesize() < FILE_BYTES:
        return
    madvise = _of_glibc("madvise")
    for start, end, resident, *changed in _LIBRARY.findall((PROCESS / "smaps").read_text()):
        if int(resident) > MAPPING_KIB and not any(map(int, changed)):
            first, after = int(start, 16), int(end, 16)
            madvise(ctypes.c_void_p(first), ctypes.c_size_t(after - first), MADV_DONTNEED)


def _of_glibc(name: str) -> Any:
    """A function of the C library, or None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
