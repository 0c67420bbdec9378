"""Contact sheets of triplets: reference and target side by side, the text below."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from PIL import Image

from spn4cir_core.images.contact_sheet import contact_sheet
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.triplets.side_by_side import pair_of
from spn4cir_core.triplets.triplet import Triplet

COLUMNS, SIDE_PX = 4, 240


def drawn(triplets: Sequence[Triplet], count: int) -> list[Triplet]:
    """Some of the triplets, the same ones whatever else there is: those with the smallest hashes of their ids."""
    return sorted(triplets, key=lambda triplet: hashlib.sha256(triplet.triplet_id.encode()).digest())[:count]


def triplet_sheet(labelled: Iterable[tuple[Triplet, str]], files: ImageFiles) -> Image.Image:
    """One tile per triplet with its label below; grey squares stand for pictures that are gone.

    Raises:
        ValueError: there is no triplet.
    """
    tiles = [(pair_of(triplet, files, SIDE_PX // 2), label) for triplet, label in labelled]
    return contact_sheet(tiles, COLUMNS, SIDE_PX, SIDE_PX // 2)
