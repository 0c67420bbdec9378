"""Pictures of one single colour: placeholders of a shop, failed downloads, blank scans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ImageFiles, is_one_colour

FLAT_HASHES = frozenset([0, 1 << 63])
"""Perceptual hashes of a picture without any detail: black, and every other colour."""


def one_colour_images(images: Iterable[Mapping[str, Any]], files: ImageFiles) -> list[str]:
    """Ids of the manifest's rows whose picture is of one colour; only those with a hash without detail are opened."""
    return [row["image_id"] for row in images if row["phash"] in FLAT_HASHES and _is_flat(row["path"], files)]


def one_colour_warning(flat: Sequence[str], duplicates: Iterable[Mapping[str, Any]]) -> str:
    """How many files are of one colour, exact duplicates included; empty for none."""
    copies = Counter(row["duplicate_of"] for row in duplicates)
    count = sum(1 + copies[image_id] for image_id in flat)
    if not count:
        return ""
    what = "file is a picture" if count == 1 else "files are pictures"
    return f"{count} {what} of one colour, such as {flat[0]!r}: placeholders or failed downloads? Take them out"


def _is_flat(path: str, files: ImageFiles) -> bool:
    try:
        return is_one_colour(files.open(path))
    except InputError:  # gone since it was listed: whoever needs its pixels says so
        return False
