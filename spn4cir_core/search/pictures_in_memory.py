"""A bound on what opened pictures take while their requests wait: counted in pixels, not in pictures."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


class PicturesInMemory:
    """Holds callers back while the pictures of others take all of it; a larger one is alone.

    Args:
        most_pixels: of all pictures together; one takes three bytes.
    """

    def __init__(self, most_pixels: int) -> None:
        self._most_pixels, self._pixels, self._changed = most_pixels, 0, threading.Condition()

    @contextmanager
    def holding(self, pictures: Sequence[Image.Image]) -> Iterator[None]:
        """Wait until there is room for them, and leave it at the end."""
        pixels = min(self._most_pixels, sum(picture.width * picture.height for picture in pictures))
        with self._changed:
            self._changed.wait_for(lambda: self._pixels + pixels <= self._most_pixels)
            self._pixels += pixels
        try:
            yield
        finally:
            with self._changed:
                self._pixels -= pixels
                self._changed.notify_all()
