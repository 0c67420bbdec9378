"""Image inputs of the pictures searched with last: another text for the same picture does not read it anew."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock

import numpy as np
from PIL import Image

from spn4cir_core.images.files import ListedPicture, as_picture, pixel_sha256

MOST_BYTES = 32 << 20
"""Of the inputs that stay in memory, those read longest ago leave first."""
OPEN_AT_ONCE = 4
"""Listed pictures that are open at a time, each perhaps a large one."""


class RecentInputs:
    """Reads pictures as a network does, those with the same pixels as a recent one from memory. Any thread may ask."""

    def __init__(self, read: Callable[[Sequence[Image.Image]], np.ndarray], most_bytes: int = MOST_BYTES) -> None:
        self._read, self._most_bytes = read, most_bytes
        self._inputs: OrderedDict[str, np.ndarray] = OrderedDict()
        self._bytes, self._lock = 0, Lock()

    def __call__(self, pictures: Sequence[Image.Image | ListedPicture]) -> np.ndarray:
        """(B, …) inputs of B pictures, as :meth:`~spn4cir_core.backbones.base.Network.read_images` gives them.

        Raises:
            PictureError: a listed picture cannot be opened any more.
        """
        keys = [pixel_sha256(picture) for picture in pictures]
        with self._lock:
            inputs = {key: self._inputs[key] for key in keys if key in self._inputs}
        new = {key: picture for key, picture in zip(keys, pictures, strict=True) if key not in inputs}
        for start in range(0, len(new), OPEN_AT_ONCE):
            some = list(new)[start : start + OPEN_AT_ONCE]
            inputs |= dict(zip(some, self._read([as_picture(new[key]) for key in some]), strict=True))
        with self._lock:
            for key in keys:
                self._remember(key, inputs[key])
        return np.stack([inputs[key] for key in keys])

    def _remember(self, key: str, inputs: np.ndarray) -> None:
        if key not in self._inputs:
            self._inputs[key] = inputs.copy()  # a row of a batch holds the whole batch in memory
            self._bytes += inputs.nbytes
        self._inputs.move_to_end(key)
        while self._bytes > self._most_bytes:
            self._bytes -= self._inputs.popitem(last=False)[1].nbytes
