"""A 64-bit perceptual hash: the signs of a picture's lowest cosine frequencies."""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE_PX, FREQUENCIES = 32, 8


def phash(image: Image.Image) -> int:
    """Hash an upright RGB picture; pictures that look alike differ in few of the 64 bits.

    The picture is made grey and 32 × 32, transformed by a type-II DCT, and each of its 8 × 8 lowest
    frequencies gives one bit: above their median or not (Zauner, "Implementation and benchmarking of
    perceptual image hash functions", 2010).
    """
    from scipy.fft import dctn

    grey = image.convert("L").resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    lowest = dctn(np.asarray(grey, dtype=np.float64))[:FREQUENCIES, :FREQUENCIES].round(6)
    bits = (lowest > np.median(lowest)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
