"""Small matrix products on one thread: waiting for a second one costs more than it brings, much more on busy cores."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = Lock()
_blocks: list[object] = []
"""Who is inside."""
_limits: dict[bool, Any] = {}
"""Since the first came in; as there is one number for all threads, the last to leave restores it."""


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let numpy and scipy multiply on the caller's thread alone, which also keeps the order of their sums.

    Several threads may be inside at once; the libraries are as before when all have left.
    """
    with _lock:
        _blocks.append(object())
        scipy_is_loaded = "scipy.linalg" in sys.modules
        if scipy_is_loaded not in _limits:
            _limits[scipy_is_loaded] = _controller(scipy_is_loaded).limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _blocks.pop()
            while _limits and not _blocks:
                _limits.popitem()[1].restore_original_limits()


@cache
def _controller(scipy_is_loaded: bool) -> ThreadpoolController:
    """Knows numpy's library, which has to be loaded by now, and scipy's once that is; looking takes milliseconds."""
    return ThreadpoolController()
