"""A 64-bit perceptual hash: the signs of a picture's lowest cosine frequencies."""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE_PX, FREQUENCIES = 32, 8
_WAVES_VY = 2 * np.cos(np.pi / (2 * SIDE_PX) * np.outer(np.arange(FREQUENCIES), 2 * np.arange(SIDE_PX) + 1))
"""(8, 32) rows of the type-II DCT of 32 values."""


def phash(image: Image.Image) -> int:
    """Hash an upright RGB picture; pictures that look alike differ in few of the 64 bits.

    The picture is made grey and 32 × 32, transformed by a type-II DCT, and each of its 8 × 8 lowest
    frequencies gives one bit: above their median or not (Zauner, "Implementation and benchmarking of
    perceptual image hash functions", 2010).
    """
    grey = image.convert("L").resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    # By two products: a process that examines files imports scipy for longer than it takes for hundreds of them.
    lowest = (_WAVES_VY @ np.asarray(grey, dtype=np.float64) @ _WAVES_VY.T).round(6)
    middle = FREQUENCIES**2 // 2
    median = np.sort(lowest, axis=None)[middle - 1 : middle + 1].mean()
    bits = (lowest > median).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
