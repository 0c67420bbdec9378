"""Pixels as CLIP wants them: shorter side to size, centre crop, CLIP's mean and standard deviation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch

MEAN = np.array((0.48145466, 0.4578275, 0.40821073), np.float32)
STD = np.array((0.26862954, 0.26130258, 0.27577711), np.float32)


def clip_pixels(images: Sequence[Image.Image], size_px: int) -> torch.Tensor:
    """B images as (B, 3, size_px, size_px) float32."""
    import torch

    squares_BHWC = np.stack([np.asarray(centre_square(image, size_px), np.float32) for image in images])
    return torch.from_numpy((squares_BHWC / 255 - MEAN) / STD).permute(0, 3, 1, 2).contiguous()


def centre_square(image: Image.Image, size_px: int) -> Image.Image:
    """Bicubic resize of the shorter side to ``size_px``, then the middle square.

    The square alone is computed, so a picture of 1 × 20,000 pixels needs no memory for what is cut away.
    """
    short = min(image.size)
    scaled = [size_px * side // short for side in image.size]
    corner = [round((side - size_px) / 2) for side in scaled]
    across, down = (side / new for side, new in zip(image.size, scaled, strict=True))
    box = (
        corner[0] * across,
        corner[1] * down,
        min((corner[0] + size_px) * across, image.width),
        min((corner[1] + size_px) * down, image.height),
    )
    return image.convert("RGB").resize((size_px, size_px), Image.Resampling.BICUBIC, box=box)
