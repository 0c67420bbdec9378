"""Contact sheets of triplets: reference and target side by side, the text below."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from PIL import Image

from spn4cir_core.images.contact_sheet import contact_sheet
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.splits.assign_splits import TRAIN
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.triplets.side_by_side import pair_of
from spn4cir_core.triplets.triplet import Triplet, triplet_of
from spn4cir_core.triplets.triplet_tables import read_triplets

COLUMNS, SIDE_PX = 4, 240


def drawn(triplets: Sequence[Triplet], count: int) -> list[Triplet]:
    """Some of the triplets, the same ones whatever else there is: those with the smallest hashes of their ids."""
    return sorted(triplets, key=lambda triplet: _id_hash(triplet.triplet_id))[:count]


def drawn_for_training(triplets: Artifact, count: int) -> list[Triplet]:
    """As :func:`drawn` of the triplets of the training split; the others' rows are not made into triplets.

    Raises:
        StoreError: a column is missing, since another version wrote the artefact.
    """
    table = read_triplets(triplets)
    ids, splits = table["triplet_id"].to_pylist(), table["split"].to_pylist()
    rows = sorted((row for row, split in enumerate(splits) if split == TRAIN), key=lambda row: _id_hash(ids[row]))
    return [triplet_of(row) for row in table.take(rows[:count]).to_pylist()]


def _id_hash(triplet_id: str) -> bytes:
    return hashlib.sha256(triplet_id.encode()).digest()


def triplet_sheet(labelled: Iterable[tuple[Triplet, str]], files: ImageFiles) -> Image.Image:
    """One tile per triplet with its label below; grey squares stand for pictures that are gone.

    Raises:
        ValueError: there is no triplet.
    """
    tiles = [(pair_of(triplet, files, SIDE_PX // 2), label) for triplet, label in labelled]
    return contact_sheet(tiles, COLUMNS, SIDE_PX, SIDE_PX // 2)
