from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from spn4cir_core.captions.colours import NAMED, colour_name, dominant_colour, to_lab

PLAIN = {"red": "#d01818", "green": "#208030", "blue": "#2050c0", "yellow": "#f0d020", "black": "#101010"}
PLAIN |= {"white": "#f8f8f8", "navy": "#1a2240", "pink": "#f09ab8", "grey": "#808080", "brown": "#6b4528"}


def test_lab_of_known_colours() -> None:
    # Published CIELAB (D65) values of sRGB's primaries and of mid grey.
    known = {(255, 255, 255): (100, 0, 0), (255, 0, 0): (53.24, 80.09, 67.20), (0, 0, 255): (32.30, 79.19, -107.86)}
    known |= {(0, 0, 0): (0, 0, 0), (119, 119, 119): (50.03, 0, 0)}
    np.testing.assert_allclose(to_lab(np.array(list(known))), np.array(list(known.values())), atol=0.02)


@pytest.mark.parametrize("name", sorted(NAMED))
def test_every_shade_has_its_own_name(name: str) -> None:
    for shade in NAMED[name]:
        rgb = np.array([[int(shade[start : start + 2], 16) for start in (1, 3, 5)]])
        assert colour_name(to_lab(rgb)[0]) == name


@pytest.mark.parametrize("ground", ["#f4f2ee", "#c02020", "#303030", "#7a9a70"])
@pytest.mark.parametrize("name", sorted(PLAIN))
def test_a_thing_in_the_middle_names_the_picture_whatever_the_ground(name: str, ground: str) -> None:
    if (name, ground) in {("white", "#f4f2ee"), ("red", "#c02020"), ("black", "#303030")}:
        pytest.skip("thing and ground are one colour")
    picture = Image.new("RGB", (120, 160), ground)
    ImageDraw.Draw(picture).ellipse((35, 45, 90, 120), fill=PLAIN[name])
    assert dominant_colour(picture) == name


def test_a_plain_picture_has_its_own_colour_at_any_size() -> None:
    for size in [(1, 1), (3, 200), (64, 64)]:
        assert dominant_colour(Image.new("RGB", size, PLAIN["blue"])) == "blue"
