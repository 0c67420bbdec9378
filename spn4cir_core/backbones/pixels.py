"""Pixels as the published backbones read them: kept as uint8, normalised inside the network.

Pictures are padded, resized and cut in the mode that they have, and become RGB at the end, as published: for RGB and
grey that is the same, for palettes, transparency, CMYK, 1 and 16 bit it is not. Whether they come as they are stored
or made RGB by our rules (:class:`~spn4cir_core.images.files.ImageFiles`) is the backbone's setting ``pixels``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from spn4cir_core.models.clip_pixels import MEAN, STD, centre_square

if TYPE_CHECKING:
    from torch import Tensor, dtype

TARGET_RATIO = 1.25
LONGEST_PX = 8192
"""Longer pictures are shrunk before they are padded: a strip of 1 × 20,000 pixels would else become a gigabyte."""
LONGEST_RATIO = 8
"""Up to this ratio of long to short side a picture is resized whole before its middle is cut out."""


def target_padded(image: Image.Image, ratio: float = TARGET_RATIO) -> Image.Image:
    """Zero-pad the shorter side on both ends until long : short is ``ratio``, as CLIP4Cir's TargetPad does."""
    image = _shrunk(image)
    width, height = image.size
    if max(width, height) < ratio * min(width, height):
        return image
    side_px = max(width, height) / ratio
    across, down = (max(int((side_px - side) / 2), 0) for side in (width, height))
    zero = 0 if len(image.getbands()) == 1 else (0,) * len(image.getbands())
    padded = Image.new(image.mode, (width + 2 * across, height + 2 * down), zero)
    if image.mode == "P" and image.palette:
        padded.putpalette(image.palette)
        padded.info |= {name: value for name, value in image.info.items() if name == "transparency"}
    padded.paste(image, (across, down))
    return padded


def target_padded_squares(images: Sequence[Image.Image], size_px: int) -> np.ndarray:
    """(B, 3, size_px, size_px) uint8: TargetPad, bicubic resize of the shorter side, middle square."""
    return centre_squares([target_padded(image) for image in images], size_px)


def centre_squares(images: Sequence[Image.Image], size_px: int) -> np.ndarray:
    """(B, 3, size_px, size_px) uint8: bicubic resize of the shorter side, middle square (CLIP's own transform)."""
    squares = [np.asarray(_middle_square(image, size_px).convert("RGB"), np.uint8) for image in images]
    return np.ascontiguousarray(np.stack(squares).transpose(0, 3, 1, 2))


def normalised(
    pixels_BCHW: Tensor, dtype: dtype, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> Tensor:
    """uint8 pixels as floats: (x / 255 − mean) / deviation, by default with CLIP's statistics."""
    import torch

    device = pixels_BCHW.device
    mean_C11 = torch.tensor(MEAN.tolist() if mean is None else list(mean), device=device)[:, None, None]
    std_C11 = torch.tensor(STD.tolist() if std is None else list(std), device=device)[:, None, None]
    return ((pixels_BCHW.float() / 255 - mean_C11) / std_C11).to(dtype)


def _middle_square(image: Image.Image, size_px: int) -> Image.Image:
    """As published to the last bit: the whole picture is resized. Of a long strip only the square is computed."""
    short, long = min(image.size), max(image.size)
    if long > LONGEST_RATIO * short:
        return centre_square(image, size_px)
    scaled = image.resize((size_px * image.width // short, size_px * image.height // short), Image.Resampling.BICUBIC)
    left, top = (round((side - size_px) / 2) for side in scaled.size)
    return scaled.crop((left, top, left + size_px, top + size_px))


def _shrunk(image: Image.Image) -> Image.Image:
    longest = max(image.size)
    if longest <= LONGEST_PX:
        return image
    size = [max(1, round(side * LONGEST_PX / longest)) for side in image.size]
    return image.resize((size[0], size[1]), Image.Resampling.BICUBIC)
