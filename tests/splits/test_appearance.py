from __future__ import annotations

import io
import statistics
from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from spn4cir_core.splits.appearance import SIDE, _ranges, content_box, different_share, signature

LIMIT = 0.035


def photograph(seed: int = 0, size: tuple[int, int] = (220, 160)) -> Image.Image:
    """Smooth random colours with edges, as a photograph has."""
    rng = np.random.default_rng(seed)
    blobs = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    image = Image.fromarray(blobs).resize(size, Image.Resampling.BICUBIC)
    ImageDraw.Draw(image).rectangle((30, 40, 90, 110), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


def share(a: Image.Image, b: Image.Image) -> float:
    return float(different_share(signature(a)[None], signature(b)[None])[0])


def jpeg(image: Image.Image) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=60)
    return Image.open(data).convert("RGB")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "copy",
    [
        jpeg,
        ImageOps.mirror,
        lambda image: image.resize((90, 70)),
        lambda image: image.crop((5, 4, 215, 156)),
        lambda image: ImageEnhance.Brightness(image).enhance(1.1),
        lambda image: ImageEnhance.Brightness(image).enhance(0.9),
        lambda image: ImageOps.expand(image, 40, "white"),
    ],
    ids=["reencoded", "mirrored", "resized", "cropped", "brighter", "darker", "on white"],
)
def test_copies_agree(copy: object, seed: int) -> None:
    image = photograph(seed)
    assert callable(copy) and share(image, copy(image)) <= LIMIT


def test_other_pictures_and_other_colours_of_one_thing_disagree() -> None:
    assert all(share(photograph(a), photograph(b)) > LIMIT for a, b in combinations(range(5), 2))
    things = []
    for colour in ("red", "blue", "green", "gold", "black", "pink"):
        image = Image.new("RGB", (300, 300), "white")
        ImageDraw.Draw(image).polygon([(130, 120), (180, 130), (160, 180)], fill=colour)
        things.append(image)
    assert all(share(a, b) > LIMIT for a, b in combinations(things, 2))


def test_the_share_is_symmetric_zero_for_itself_and_independent_of_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.stack([signature(photograph(seed)) for seed in range(7)])
    one, other = np.array(list(combinations(range(7), 2))).T
    shares = different_share(rows[one], rows[other])
    np.testing.assert_array_equal(shares, different_share(rows[other], rows[one]))
    assert not different_share(rows, rows).any()
    monkeypatch.setattr("spn4cir_core.splits.appearance.PAIRS_PER_BLOCK", 4)
    np.testing.assert_array_equal(shares, different_share(rows[one], rows[other]))
    assert different_share(rows[:0], rows[:0]).shape == (0,)


def test_the_share_is_that_of_cells_outside_the_range_of_their_neighbours() -> None:
    """Cell by cell, without gain and mirroring, which these two pictures make no better."""
    rng = np.random.default_rng(3)
    a = np.full((SIDE, SIDE, 3), 120, np.int64)
    a[10:13, 4:9] = (250, 20, 60)
    b = np.clip(a + rng.integers(-10, 10, a.shape), 0, 255)
    b[10:13, 4:9] = (20, 200, 60)

    def outside(x: np.ndarray, y: np.ndarray, tolerance: int) -> float:
        count = 0
        for row in range(SIDE):
            for column in range(SIDE):
                window = y[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].reshape(-1, y.shape[2])
                beyond = np.maximum(x[row, column] - window.max(axis=0), window.min(axis=0) - x[row, column])
                count += bool((beyond > tolerance).any())
        return count / SIDE**2

    def hues(x: np.ndarray) -> np.ndarray:
        return np.stack([x[..., 0] - x[..., 1], x[..., 2] - x[..., 1]], axis=2)

    shares = [outside(a, b, 28), outside(b, a, 28), outside(hues(a), hues(b), 20), outside(hues(b), hues(a), 20)]
    signatures = [cells.astype(np.uint8).reshape(1, -1) for cells in (a, b)]
    assert different_share(*signatures)[0] == pytest.approx(max(shares))


def test_the_content_is_what_differs_from_an_even_background() -> None:
    image = Image.new("RGB", (100, 60), (240, 240, 240))
    assert content_box(np.asarray(image)) == (0, 0, 100, 60), "nothing is there but the background"
    ImageDraw.Draw(image).rectangle((20, 10, 29, 14), fill="red")
    assert content_box(np.asarray(image)) == (20, 10, 30, 15)
    uneven = photograph(1)
    assert content_box(np.asarray(uneven)) == (0, 0, *uneven.size)


def slow_content_box(pixels: np.ndarray) -> tuple[int, int, int, int]:
    """Pixel by pixel."""
    height, width = pixels.shape[:2]
    border = [pixel.tolist() for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]) for pixel in edge]
    background = [statistics.median(channel) for channel in zip(*border, strict=True)]

    def apart(pixel: list[int]) -> float:
        return max(abs(one - other) for one, other in zip(pixel, background, strict=True))

    content = [(x, y) for y in range(height) for x in range(width) if apart(pixels[y, x].tolist()) > 24]
    if sum(apart(pixel) <= 12 for pixel in border) < 0.97 * len(border) or not content:
        return 0, 0, width, height
    (left, *_, right), (top, *_, bottom) = (sorted(one * 2) for one in zip(*content, strict=True))
    return left, top, right + 1, bottom + 1


@pytest.mark.parametrize("ground", [0, 13, 128, 250, 255])
def test_the_content_is_that_of_comparing_pixel_by_pixel(ground: int) -> None:
    random = np.random.default_rng(ground)
    boxes = set()
    for _ in range(60):
        height, width = random.integers(1, 12, 2)
        pixels = np.clip(ground + random.integers(-8, 9, (height, width, 3)), 0, 255).astype(np.uint8)
        for _ in range(random.integers(0, 4)):
            spot = random.integers(height), random.integers(width)
            pixels[spot] = np.clip(ground + random.integers(-30, 31, 3), 0, 255)
        boxes.add(content_box(pixels) == (0, 0, width, height))
        assert content_box(pixels) == slow_content_box(pixels)
    assert boxes == {True, False}


def test_ranges_are_those_of_scipys_filters() -> None:
    from scipy.ndimage import maximum_filter, minimum_filter

    cells = np.random.default_rng(1).integers(-255, 256, (3, SIDE, SIDE, 5)).astype(np.int16)
    for edge, of_window in zip(_ranges(cells), (minimum_filter, maximum_filter), strict=True):
        np.testing.assert_array_equal(edge, of_window(cells, (1, 3, 3, 1), mode="nearest"))
