"""While a stage builds tables of millions of rows, Python looks for cycles among its objects less often."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

NEW_OBJECTS = 50_000
"""Objects that hold others, more than there were, between two collections; Python's default is 700. Each older
generation is looked through when the younger one has been ten times."""


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Inside the block cycles are looked for seldom, and what was there before, modules above all, is left alone.

    Objects that no cycle holds go as soon as nobody has them, as ever. By default rows that stay are looked through
    again and again: a third of the processor time of reading and writing large tables.
    """
    first, second, third = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(max(first, NEW_OBJECTS) if first else 0, second, third)
    try:
        yield
    finally:
        gc.set_threshold(first, second, third)
        gc.unfreeze()
