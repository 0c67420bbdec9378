"""Reference and target on one picture."""

from __future__ import annotations

from PIL import Image

from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.triplets.triplet import Triplet


def side_by_side(reference: Image.Image, target: Image.Image, side_px: int) -> Image.Image:
    """Both RGB pictures, each made to fit into a square of ``side_px``, reference left, on white."""
    both = Image.new("RGB", (2 * side_px, side_px), "white")
    for column, picture in enumerate((reference, target)):
        small = picture.copy()
        small.thumbnail((side_px - 2, side_px - 2))
        both.paste(small, (column * side_px + (side_px - small.width) // 2, (side_px - small.height) // 2))
    return both


def pair_of(triplet: Triplet, files: ImageFiles, side_px: int) -> Image.Image:
    """The triplet's two pictures; a grey square stands for one that is gone. For looking only."""
    pictures = []
    for path in (triplet.reference_path, triplet.target_path):
        try:
            pictures.append(files.open(path))
        except InputError:
            pictures.append(Image.new("RGB", (side_px, side_px), "lightgrey"))
    return side_by_side(pictures[0], pictures[1], side_px)
