from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional

from spn4cir_core.backbones.pixels import (
    LONGEST_PX,
    LONGEST_RATIO,
    centre_squares,
    normalised,
    target_padded,
    target_padded_squares,
)


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * 1000 + height).integers(1, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", [(100, 100), (124, 100), (125, 100), (300, 100), (100, 301), (7, 50)])
def test_padding_is_that_of_the_formula(size: tuple[int, int]) -> None:
    image = picture(*size)
    padded = np.asarray(target_padded(image))
    longest, shortest = max(size), min(size)
    around = 0 if longest / shortest < 1.25 else math.floor((longest / 1.25 - shortest) / 2)
    wide = size[0] >= size[1]
    expected = np.pad(
        np.asarray(image), ((around, around), (0, 0), (0, 0)) if wide else ((0, 0), (around, around), (0, 0))
    )
    np.testing.assert_array_equal(padded, expected)


@pytest.mark.parametrize("size", [(100, 100), (300, 120), (90, 250), (33, 40), (1000, 64)])
def test_squares_are_the_whole_picture_resized_then_cut(size: tuple[int, int]) -> None:
    """The plain way: resize all of it, cut the middle."""
    for image, squares in ((target_padded(picture(*size)), target_padded_squares), (picture(*size), centre_squares)):
        short = min(image.size)
        scaled = image.resize((32 * image.width // short, 32 * image.height // short), Image.Resampling.BICUBIC)
        left, top = round((scaled.width - 32) / 2), round((scaled.height - 32) / 2)
        plain = np.asarray(scaled.crop((left, top, left + 32, top + 32))).transpose(2, 0, 1)
        square = squares([picture(*size)], 32)[0]
        assert square.dtype == np.uint8 and square.shape == (3, 32, 32)
        away = 2 if max(image.size) > LONGEST_RATIO * min(image.size) else 0  # rounded in another order
        assert np.abs(square.astype(int) - plain).mean() <= away


def test_a_very_long_strip_is_padded_without_a_gigabyte() -> None:
    padded = target_padded(Image.new("RGB", (1, 20000), "red"))
    assert max(padded.size) == LONGEST_PX and padded.width / padded.height == pytest.approx(0.8, abs=0.01)


def test_normalising_is_that_of_clip() -> None:
    pixels = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    for channel in range(3):
        expected = (pixels[:, channel] / 255 - mean[channel]) / std[channel]
        torch.testing.assert_close(normalised(pixels, torch.float32)[:, channel], expected)
    halves = normalised(pixels, torch.float16, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    torch.testing.assert_close(halves.float(), pixels / 127.5 - 1, atol=1e-3, rtol=0)


def as_published(image: Image.Image, size_px: int, ratio: float | None) -> np.ndarray:
    """The published transforms, of torchvision's parts: pad, resize, cut, then RGB."""
    width, height = image.size
    if ratio is not None and max(width, height) / min(width, height) >= ratio:
        side = max(width, height) / ratio
        around = [max(int((side - length) / 2), 0) for length in (width, height)]
        image = functional.pad(image, [*around, *around], 0, "constant")  # type: ignore[arg-type]
    image = functional.resize(image, [size_px], functional.InterpolationMode.BICUBIC)  # type: ignore[arg-type]
    image = functional.center_crop(image, [size_px, size_px])  # type: ignore[arg-type]
    return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def stored(mode: str, size: tuple[int, int]) -> Image.Image:
    colours = picture(*size)
    if mode == "P transparent":
        image = colours.quantize(16)
        image.info["transparency"] = 3
        return image
    if mode == "I;16":
        return Image.fromarray(np.asarray(colours.convert("L")).astype(np.uint16) * 257)
    image = colours.quantize(16) if mode == "P" else colours.convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(picture(*size).convert("L").rotate(180))
    return image


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "P transparent", "RGBA", "LA", "CMYK", "1", "I;16", "YCbCr"])
@pytest.mark.parametrize("size", [(90, 70), (70, 110), (200, 61)])
def test_pixels_equal_the_published_ones_in_every_mode(mode: str, size: tuple[int, int]) -> None:
    image = stored(mode, size)
    assert np.array_equal(target_padded_squares([image], 32)[0], as_published(image, 32, 1.25))
    assert np.array_equal(centre_squares([image], 32)[0], as_published(image, 32, None))
