"""What a search returns: hits, and a contact sheet of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from spn4cir_core.images.contact_sheet import contact_sheet
from spn4cir_core.images.files import ImageFiles, Picture, PictureError, as_picture
from spn4cir_core.search.encoder import several

SHEET_COLUMNS = 6
MISSING = (200, 200, 200)


@dataclass(frozen=True)
class Hit:
    """One image that a search returns.

    Attributes:
        image_id: its id in ``images.parquet``.
        path: of its file, relative to the folder of pictures, with forward slashes.
        caption: empty where it has none.
        score: by the blend, the sum of ``channels``, without a fixed range; by a trained encoder alone a cosine, from
            −1 to 1, the highest of the image's T. Higher is better.
        rank: its position among the hits of this query: 0 for the best. What people read (command line, page, contact
            sheet) is ``rank + 1``.
        channels: title of a channel → its part of the score, the largest first; empty for a trained encoder alone.
        former_rank: its position before a reranker put the first hits in order; None where none did.
    """

    image_id: str
    path: str
    caption: str
    score: float
    rank: int
    channels: dict[str, float] = field(default_factory=dict)
    former_rank: int | None = None


def hits_sheet(
    reference: Picture | Sequence[Picture] | None, text: str | None, hits: Sequence[Hit], files: ImageFiles
) -> Image.Image:
    """The query and its hits on one picture, labelled with rank (from 1), score and caption.

    A picture that can no longer be opened is a grey tile with the reason.

    Raises:
        InputError: a reference image cannot be read.
    """
    tiles = [_tile(hit, files) for hit in hits]
    label = f"query: {text}" if text else "query: this picture"
    pictures = several(reference)
    if pictures is None:
        pictures = [] if reference is None else [reference]
    if pictures:
        tiles[:0] = [(as_picture(picture).convert("RGB"), label) for picture in pictures]
    elif tiles:
        tiles[0] = (tiles[0][0], f"{label} → {tiles[0][1]}")
    return contact_sheet(tiles, SHEET_COLUMNS)


def _tile(hit: Hit, files: ImageFiles) -> tuple[Image.Image, str]:
    label = f"{hit.rank + 1}. {hit.score:.2f} {hit.caption or hit.path}"
    try:
        return files.open(hit.path), label
    except PictureError as error:
        return Image.new("RGB", (1, 1), MISSING), f"{error.reason}: {label}"
