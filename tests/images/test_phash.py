from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageFilter

from spn4cir_core.images.phash import phash


def scene(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((96, 96), Image.Resampling.BICUBIC)


def slow_phash(image: Image.Image) -> int:
    """The definition, term by term."""
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), dtype=float)
    value = [
        sum(
            4 * grey[y, x] * math.cos(math.pi * v * (2 * y + 1) / 64) * math.cos(math.pi * u * (2 * x + 1) / 64)
            for y in range(32)
            for x in range(32)
        )
        for v in range(8)
        for u in range(8)
    ]
    middle = (sorted(value)[31] + sorted(value)[32]) / 2
    return sum(1 << (63 - index) for index, item in enumerate(value) if item > middle)


def test_it_follows_its_definition() -> None:
    assert phash(scene(0)) == slow_phash(scene(0))


def test_look_alikes_are_near_and_other_pictures_are_far() -> None:
    image = scene(1)
    for changed in (
        image.resize((300, 200)),
        image.filter(ImageFilter.GaussianBlur(1)),
        image.point(lambda x: x * 0.9),
    ):
        assert (phash(image) ^ phash(changed)).bit_count() <= 4
    assert (phash(image) ^ phash(scene(2))).bit_count() > 12


def test_a_flat_picture_of_any_shape_has_a_hash() -> None:
    assert 0 <= phash(Image.new("RGB", (1, 3000), "white")) < 2**64
