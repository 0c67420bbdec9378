"""Pictures with an ICC profile are seen as the colours that the profile means."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.captions.colours import colour_name, to_lab
from spn4cir_core.images.files import decode
from tests.images.icc_profiles import ADOBE_RGB, P3, Colour, grey_profile, press_profile, rgb_profile

SRGB_FROM_XYZ = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
)
"""Of XYZ under D50: Bradford-adapted, http://www.brucelindbloom.com/Eqn_RGB_XYZ_Matrix.html."""


SWOP = Path("/usr/share/color/icc/ghostscript/default_cmyk.icc")
"""Artifex's profile of presses under SWOP, in Debian's package libgs-common."""


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def seen(data: bytes) -> Colour:
    pixel = decode(data, 10**6).getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return pixel[0], pixel[1], pixel[2]


def slow_srgb(colour: Colour, colourants: tuple[Colour, Colour, Colour], gamma: float) -> np.ndarray:
    xyz = sum((value / 255) ** gamma * np.array(primary) for value, primary in zip(colour, colourants, strict=True))
    linear = np.clip(SRGB_FROM_XYZ @ xyz, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("colourants", [P3, ADOBE_RGB], ids=["P3", "Adobe RGB"])
@pytest.mark.parametrize("colour", [(150, 200, 0), (255, 50, 0), (90, 120, 140), (255, 255, 255), (0, 0, 0)])
def test_wide_gamut_pictures_become_srgb(colour: Colour, colourants: Any) -> None:
    data = encoded(Image.new("RGB", (4, 4), colour), icc_profile=rgb_profile("Wide", colourants))
    assert np.abs(np.array(seen(data)) - slow_srgb(colour, colourants, 2.2)).max() <= 3


def test_the_names_of_wide_gamut_colours_are_right() -> None:
    names = []
    for colour in ((150, 200, 0), (255, 50, 0)):
        pixel = seen(encoded(Image.new("RGB", (4, 4), colour), icc_profile=rgb_profile("Display P3", P3)))
        names.append(colour_name(to_lab(np.array([pixel]))[0]))
    assert names == ["green", "red"]


def test_grey_and_transparency_are_managed_too() -> None:
    linear = seen(encoded(Image.new("L", (4, 4), 55), icc_profile=grey_profile(1.0)))
    assert linear[0] == linear[1] == linear[2] and abs(linear[0] - 128) <= 3
    layer = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    layer.paste((200, 30, 60, 255), (0, 0, 2, 4))
    image = decode(encoded(layer, icc_profile=rgb_profile("Wide", P3)), 10**6)
    assert image.getpixel((3, 0)) == (255, 255, 255)
    assert np.abs(np.array(image.getpixel((0, 0))) - slow_srgb((200, 30, 60), P3, 2.2)).max() <= 3


@pytest.mark.parametrize("content", [rgb_profile("sRGB IEC61966-2.1", P3), b"no profile", grey_profile(1.0), b""])
def test_srgb_and_profiles_that_do_not_fit_leave_the_pixels(content: bytes) -> None:
    assert seen(encoded(Image.new("RGB", (4, 4), (255, 50, 0)), icc_profile=content)) == (255, 50, 0)


def printed(per_cent: tuple[int, int, int, int], content: bytes) -> np.ndarray:
    """What is seen of a JPEG in these inks."""
    inks = tuple(round(value * 2.55) for value in per_cent)
    return np.array(seen(encoded(Image.new("CMYK", (16, 16), inks), "JPEG", quality=98, icc_profile=content)))


@pytest.mark.parametrize(
    ("inks", "right"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 100, 0, 0), (236, 0, 140)),
        ((0, 0, 100, 0), (255, 242, 0)),
        ((100, 100, 0, 0), (46, 49, 146)),
        ((0, 100, 100, 0), (237, 28, 36)),
        ((0, 0, 0, 100), (0, 0, 0)),
    ],
)
def test_inks_are_seen_as_the_press_prints_them(inks: tuple[int, int, int, int], right: Colour) -> None:
    assert np.abs(printed(inks, press_profile()) - right).max() <= 5, "the table has whole numbers of L*a*b*"


@pytest.mark.skipif(not SWOP.is_file(), reason=f"no {SWOP}; Debian's libgs-common has it")
@pytest.mark.parametrize(
    ("inks", "right", "name"), [((0, 100, 0, 0), (236, 0, 140), "pink"), ((50, 40, 40, 10), (127, 131, 132), "grey")]
)
def test_cmyk_under_a_published_press_profile(inks: tuple[int, int, int, int], right: Colour, name: str) -> None:
    pixel = printed(inks, SWOP.read_bytes())
    assert np.abs(pixel - right).max() <= 3
    assert colour_name(to_lab(pixel[None])[0]) == name
