from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from spn4cir_core.captions.colours import CLUSTERS, NAMED, ROUNDS, colour_name, dominant_colour, k_means, to_lab

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


def clusters(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The slow, obvious way: distances point by point, and sums cluster by cluster."""
    centres = [min(points, key=lambda point: ((point - points.mean(0)) ** 2).sum())]
    while len(centres) < CLUSTERS:
        apart = [min(((point - centre) ** 2).sum() for centre in centres) for point in points]
        if max(apart) < 25:
            break
        centres.append(points[int(np.argmax(apart))])
    means = np.array(centres)
    for _ in range(ROUNDS):
        number = np.array([np.argmin(((point - means) ** 2).sum(1)) for point in points])
        means = np.array(
            [points[number == row].mean(0) if (number == row).any() else means[row] for row in range(len(means))]
        )
    return means, np.array([np.argmin(((point - means) ** 2).sum(1)) for point in points])


@pytest.mark.parametrize("points", [1, 3, 60])
@pytest.mark.parametrize("spread", [1, 60])
def test_clusters_are_those_of_the_obvious_way(points: int, spread: int) -> None:
    at = np.random.default_rng(points).normal(size=(points, 3)) * spread
    means, number = clusters(at)
    centres, member_KN = k_means(at)
    np.testing.assert_allclose(centres, means, atol=1e-9)
    assert (member_KN.argmax(0) == number).all() and (member_KN.sum(0) == 1).all()


def test_a_point_between_two_centres_belongs_to_the_first() -> None:
    _, member_KN = k_means(np.array([[-8.0, 0, 0], [8, 0, 0], [0, 8, 0], [0, -8, 0], [0, 0, 0]]))
    assert (member_KN.sum(0) == 1).all()
