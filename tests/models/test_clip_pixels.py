from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.models.clip_pixels import centre_square, clip_pixels


@pytest.mark.parametrize("size", [(40, 64), (65, 41), (32, 32), (300, 100), (9, 7)])
def test_square_is_that_of_resizing_all_and_cropping(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(90, 166, (size[1], size[0], 3), np.uint8)  # no overshoot to clip
    image = Image.fromarray(noise)
    short = min(size)
    whole = image.resize((32 * size[0] // short, 32 * size[1] // short), Image.Resampling.BICUBIC)
    left, top = round((whole.width - 32) / 2), round((whole.height - 32) / 2)
    wanted = np.asarray(whole.crop((left, top, left + 32, top + 32)), int)
    assert np.abs(np.asarray(centre_square(image, 32), int) - wanted).max() <= 1


def test_pixels_are_normalised_channel_by_channel() -> None:
    result = clip_pixels([Image.new("RGB", (50, 70), (255, 0, 51))], 16).numpy()
    assert result.shape == (1, 3, 16, 16)
    wanted = [(1 - 0.48145466) / 0.26862954, -0.4578275 / 0.26130258, (0.2 - 0.40821073) / 0.27577711]
    np.testing.assert_allclose(result[0].transpose(1, 2, 0).reshape(-1, 3), [wanted] * 256, rtol=1e-5)


def test_a_very_long_picture_is_not_resized_as_a_whole() -> None:
    # As a whole it would be 224 × 13,440,000 pixels, more than Pillow can allocate.
    assert centre_square(Image.new("RGB", (1, 60_000), (5, 5, 5)), 224).getpixel((0, 0)) == (5, 5, 5)
