"""The name of a picture's main colour."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

SIDE_PX = 48
CLUSTERS = 6
ROUNDS = 12
LIGHTNESS_HALF = np.array([0.5, 1, 1])
NAMED = {
    "black": ["#0a0a0a", "#1c1c1f", "#2b2a2c", "#1f212b", "#272a33", "#2a2422"],
    "grey": ["#55565a", "#7d7e80", "#a3a4a6", "#686f78"],
    "white": ["#ffffff", "#ededee", "#dcdde0", "#e6e2da", "#cdcfd3", "#d6dbe4"],
    "red": ["#d21f26", "#b3151e", "#e5393f"],
    "maroon": ["#5f1a22", "#7b1f2b", "#4a1c21"],
    "orange": ["#ef7a1a", "#e0631c", "#f5984a"],
    "brown": ["#5b3a25", "#7a5230", "#3f2b20", "#8f6a48"],
    "beige": ["#d9c7a8", "#c8b394", "#e6dbc6", "#b9a283"],
    "yellow": ["#f0d020", "#e6b81e", "#f2e06b"],
    "olive": ["#6b6a2e", "#55552f", "#85824a"],
    "green": ["#2e8b45", "#1f5a34", "#69b56d", "#2c4a37", "#a8dcae"],
    "teal": ["#1e7f82", "#2f9b97", "#1d5258", "#1fa8b0"],
    "blue": ["#2a5fc4", "#3d6ea8", "#1f47a0", "#4a7fd0"],
    "light blue": ["#8db8e0", "#a9c9e6", "#7aa3c4"],
    "navy": ["#1b2340", "#232f55", "#141a30"],
    "purple": ["#6f3a93", "#57316b", "#9a6cb8"],
    "pink": ["#ec9ab6", "#d9628f", "#f3c3cd", "#c96a86"],
}
"""Each name with a few of its shades; the nearest shade in CIELAB names a colour."""


def dominant_colour(image: Image.Image) -> str:
    """Name the colour of what stands in the middle of an RGB picture and does not reach its border.

    The pixels are clustered in CIELAB (k-means from a deterministic start), lightness counting half, since
    folds and shadows change it. A cluster counts by its pixels near the centre, by how little of the border
    it covers, and by how far its colour is from the border's.
    """
    pixels = np.asarray(image.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX))
    lab = to_lab(pixels.reshape(-1, 3))
    centres, member_KN = k_means(lab * LIGHTNESS_HALF)
    mass, at_border = (member_KN @ _middle_and_border().T).T
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=2) @ at_border
    scores = mass * (1 - at_border) ** 2 * apart
    return colour_name(centres[int(np.argmax(scores if scores.max() > 0 else mass))] / LIGHTNESS_HALF)


def colour_name(lab: np.ndarray) -> str:
    """The name whose nearest shade is nearest to a CIELAB colour (3,), dull colours set apart from grey."""
    distances = np.linalg.norm(_spread_shades() - _spread_chroma(lab[None]), axis=1)
    return _NAMES[int(np.argmin(distances))]


def _spread_chroma(lab: np.ndarray) -> np.ndarray:
    """(N, 3) with lightness halved and chroma on a logarithmic scale, where dull hues still differ."""
    chroma = np.linalg.norm(lab[:, 1:], axis=1, keepdims=True)
    scale = 12 * np.log1p(chroma / 5) / np.maximum(chroma, 1e-9)
    spread: np.ndarray = np.concatenate([lab[:, :1] * 0.5, lab[:, 1:] * scale], axis=1)
    return spread


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB (N, 3) of whole numbers in 0 … 255 to CIELAB (N, 3) under D65, by the CIE 1976 formulas."""
    linear = _linear()[rgb]
    matrix = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = linear @ matrix.T / np.array([0.95047, 1.0, 1.08883])
    cubed = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = cubed.T
    lab: np.ndarray = np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)]).T
    return lab


def k_means(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most six centres (K, 3) of points (N, 3), and (K, N) ones where a point belongs to a centre, else zeros.

    Starts from the mean's nearest point and then, again and again, from the point farthest from all centres.
    """
    point_4N = np.vstack([points.T, np.ones(len(points))])
    own_square_N = (point_4N[:3] ** 2).sum(axis=0)

    def squares(centre: np.ndarray) -> np.ndarray:
        squares_N: np.ndarray = _beside_own_square(point_4N, centre[None])[0] + own_square_N
        return squares_N

    centres = [points[np.argmin(squares(point_4N[:3].mean(axis=1)))]]
    nearest_N = squares(centres[0])
    while len(centres) < CLUSTERS and nearest_N.max() >= 25:  # a difference of 5, which one hardly sees
        centres.append(points[np.argmax(nearest_N)])
        nearest_N = np.minimum(nearest_N, squares(centres[-1]))
    means = np.array(centres)
    for _ in range(ROUNDS):
        sum_K4 = _members(point_4N, means) @ point_4N.T
        count_K1 = sum_K4[:, 3:]
        moved = np.where(count_K1 > 0, sum_K4[:, :3] / np.maximum(count_K1, 1), means)
        if np.array_equal(moved, means):
            break
        means = moved
    return means, _members(point_4N, means)


def _members(point_4N: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(K, N) ones where a centre is the nearest of a point, the first of several."""
    distance_KN = _beside_own_square(point_4N, centres)
    member_KN = distance_KN == distance_KN.min(axis=0)
    if np.count_nonzero(member_KN) > member_KN.shape[1]:
        member_KN &= np.cumsum(member_KN, axis=0) == 1
    members: np.ndarray = member_KN.astype(np.float64)
    return members


def _beside_own_square(point_4N: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(K, N) squared distances without the point's own square; points have a row of ones below."""
    distances: np.ndarray = np.column_stack([-2 * centres, (centres**2).sum(axis=1)]) @ point_4N
    return distances


@cache
def _linear() -> np.ndarray:
    """(256,) light of each sRGB value (IEC 61966-2-1), 0 … 1."""
    scaled = np.arange(256) / 255
    return np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)


@cache
def _middle_and_border() -> np.ndarray:
    """(2, N) weights of the pixels: near the middle, and shares of the border, which sum to 1."""
    offset = (np.arange(SIDE_PX) - (SIDE_PX - 1) / 2) / SIDE_PX
    bell = np.exp(-((offset / 0.25) ** 2) / 2)
    edge = np.zeros((SIDE_PX, SIDE_PX))
    edge[[0, 1, -2, -1]] = 1
    edge[:, [0, 1, -2, -1]] = 1
    return np.stack([np.outer(bell, bell).ravel(), edge.ravel() / edge.sum()])


_NAMES = [name for name, shades in NAMED.items() for _ in shades]


@cache
def _spread_shades() -> np.ndarray:
    hexes = [shade for shades in NAMED.values() for shade in shades]
    rgb = np.array([[int(shade[start : start + 2], 16) for start in (1, 3, 5)] for shade in hexes])
    return _spread_chroma(to_lab(rgb))
