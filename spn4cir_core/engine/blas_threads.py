"""Small matrix products on one thread: waiting for a second one costs more than it brings, much more on busy cores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let numpy multiply on the caller's thread alone, which also keeps the order of its sums."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    """Knows numpy's library, which has to be loaded by now; looking for it takes milliseconds."""
    return ThreadpoolController()
