"""Small colour versions of pictures, and the share of them in which two pictures disagree.

A perceptual hash is grey and sees mostly the background; an embedding forgives a change of colour. Both only propose
near-duplicates. Two pictures are copies of one picture if their small versions agree in colour, cell by cell.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

APPEARANCE_VERSION = 1
"""Raised when the same picture gives another signature, or the same signatures another share."""
SIDE = 32
"""Cells of a small version in each direction."""
VALUES = SIDE * SIDE * 3
REDUCED_PX = 256
"""The longer side at which the content of a picture is looked for."""
BORDER_TOLERANCE = 12
"""How far a pixel of an even border may be from the border's median, in steps of 255."""
EVEN_BORDER_SHARE = 0.97
"""The share of the border's pixels that are within the tolerance if the background is even."""
GAINS = (1.0, 1.06, 1.12)
"""Factors by which the darker of two pictures may be brightened before they are compared."""
DIFFERENT, DIFFERENT_HUE = 28, 20
"""In steps of 255: a cell disagrees if red, green or blue is outside the range of the 3 × 3 cells around it by
more than the first, or red − green or blue − green by more than the second (a change of colour where little of the
picture is seen).
"""
PAIRS_PER_BLOCK = 512

Signatures = npt.NDArray[np.uint8]
"""(N, 32 · 32 · 3): one small version per row."""
Cells = npt.NDArray[np.int16]
"""(P, 32, 32, 5): red, green, blue, red − green, blue − green."""


def signature(image: Image.Image) -> npt.NDArray[np.uint8]:
    """The small version (3072,) uint8 of an RGB picture: of its content only, where the background is even."""
    reduced = image.copy()
    reduced.thumbnail((REDUCED_PX, REDUCED_PX), Image.Resampling.BOX)
    content = reduced.crop(content_box(np.asarray(reduced)))
    return np.asarray(content.resize((SIDE, SIDE), Image.Resampling.BOX)).reshape(VALUES)


def content_box(pixels_HW3: npt.NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) in pixels of what differs from an even background; the whole picture without one."""
    height, width = pixels_HW3.shape[:2]
    border = np.concatenate([pixels_HW3[0], pixels_HW3[-1], pixels_HW3[:, 0], pixels_HW3[:, -1]]).astype(np.int16)
    background = np.median(border, axis=0)
    if (np.abs(border - background).max(axis=1) <= BORDER_TOLERANCE).mean() < EVEN_BORDER_SHARE:
        return 0, 0, width, height
    least, most = np.ceil(background - 2 * BORDER_TOLERANCE), np.floor(background + 2 * BORDER_TOLERANCE)
    values = pixels_HW3.reshape(height, -1)  # bytes against bytes, a row at a time
    content = values < np.tile(least.clip(0, 255).astype(np.uint8), width)
    content |= values > np.tile(most.clip(0, 255).astype(np.uint8), width)
    rows = np.flatnonzero(content.any(axis=1))
    if not len(rows):
        return 0, 0, width, height
    columns = np.flatnonzero(content.any(axis=0).reshape(width, 3).any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def different_share(a_PS: Signatures, b_PS: Signatures) -> npt.NDArray[np.float32]:
    """(P,) share of the cells in which two pictures disagree, in brightness or in hue, whichever is more; the smallest
    over mirroring and ``GAINS``.
    """
    shares = np.ones(len(a_PS), np.float32)
    for start in range(0, len(a_PS), PAIRS_PER_BLOCK):
        part = slice(start, start + PAIRS_PER_BLOCK)
        shares[part] = _smallest_share(a_PS[part], b_PS[part])
    return shares


def _smallest_share(a_PS: Signatures, b_PS: Signatures) -> npt.NDArray[np.float32]:
    a_is_dark = (a_PS.mean(axis=1) <= b_PS.mean(axis=1))[:, None]
    bright = _cells(np.where(a_is_dark, b_PS, a_PS))
    bright_range = _ranges(bright)
    shares = []
    for gain in GAINS:
        lit = _cells(np.minimum(np.where(a_is_dark, a_PS, b_PS) * np.float32(gain), 255))
        low, high = _ranges(lit)
        for step in (1, -1):  # as it is, and mirrored
            of_bright = _disagreement(bright[:, :, ::step], low, high)
            of_lit = _disagreement(lit, *(edge[:, :, ::step] for edge in bright_range))
            shares.append(np.maximum(of_bright, of_lit))
    smallest: npt.NDArray[np.float32] = np.min(shares, axis=0)
    return smallest


def _cells(values_PS: npt.NDArray[np.generic]) -> Cells:
    colours = values_PS.astype(np.int16).reshape(-1, SIDE, SIDE, 3)
    return np.concatenate([colours, colours[..., ::2] - colours[..., 1:2]], axis=3)


def _ranges(cells: Cells) -> tuple[Cells, Cells]:
    """Smallest and largest value of the 3 × 3 cells around each cell: pictures may be shifted by a cell."""
    padded = np.pad(cells, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    return _of_neighbours(np.minimum, padded), _of_neighbours(np.maximum, padded)


def _of_neighbours(extreme: np.ufunc, padded: Cells) -> Cells:
    """The extreme of three rows, then of three columns; importing scipy's filters takes longer than a few thousand."""
    rows = extreme(extreme(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    columns: Cells = extreme(extreme(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:])
    return columns


def _disagreement(cells: Cells, low: Cells, high: Cells) -> npt.NDArray[np.float32]:
    """(P,) share of the cells that are outside the range in colour, or in hue, whichever is more."""
    beyond = np.maximum(cells - high, low - cells)
    red, green, blue, *hues = (beyond[..., number] for number in range(beyond.shape[3]))
    colour = np.maximum(np.maximum(red, green), blue) > DIFFERENT
    hue = np.maximum(*hues) > DIFFERENT_HUE
    shares: npt.NDArray[np.float32] = np.maximum(*(mask.mean(axis=(1, 2), dtype=np.float32) for mask in (colour, hue)))
    return shares
