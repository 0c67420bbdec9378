"""Small matrix products on one thread: waiting for a second one costs more than it brings, much more on busy cores."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let numpy and scipy multiply on the caller's thread alone, which also keeps the order of their sums."""
    with _controller("scipy.linalg" in sys.modules).limit(limits=1, user_api="blas"):
        yield


@cache
def _controller(scipy_is_loaded: bool) -> ThreadpoolController:
    """Knows numpy's library, which has to be loaded by now, and scipy's once that is; looking takes milliseconds."""
    return ThreadpoolController()
