"""The tables of a ``splits`` artefact, and their readers."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from spn4cir_core.store.artifacts import Artifact

SPLITS_FILE, NEAR_DUPLICATES_FILE = "splits.parquet", "near_duplicates.parquet"
SPLIT_SCHEMA = pa.schema([("image_id", pa.string()), ("component", pa.int32()), ("split", pa.string())])
NEAR_DUPLICATE_SCHEMA = pa.schema(
    [("image_a", pa.string()), ("image_b", pa.string()), ("similarity", pa.float32()), ("found_by", pa.string())]
)
SplitColumn = Literal["image_id", "component", "split"]
SAME_GROUP = "group"
"""``found_by`` of two images of one product."""


def read_splits(splits: Artifact, *columns: SplitColumn) -> pa.Table:
    """One row per image in the order of the manifest, with these columns; with all columns where none is named."""
    return splits.table(SPLITS_FILE, list(columns) or SPLIT_SCHEMA.names)


def split_of_images(splits: Artifact) -> dict[str, str]:
    """``train``, ``validation`` or ``evaluation`` by image id."""
    table = read_splits(splits, "image_id", "split")
    return dict(zip(table["image_id"].to_pylist(), table["split"].to_pylist(), strict=True))


def component_of_images(splits: Artifact) -> dict[str, int]:
    """Number of the component by image id: images of one component share a split."""
    table = read_splits(splits, "image_id", "component")
    return dict(zip(table["image_id"].to_pylist(), table["component"].to_pylist(), strict=True))


def read_near_duplicates(splits: Artifact, *, views: bool = True) -> list[tuple[str, str]]:
    """Pairs of image ids that show the same: near-duplicates, and with ``views`` other images of one product."""
    columns = ["image_a", "image_b"] if views else ["image_a", "image_b", "found_by"]
    table = splits.table(NEAR_DUPLICATES_FILE, columns=columns)
    if not views:
        table = table.filter(pc.not_equal(table["found_by"], SAME_GROUP))
    return list(zip(table["image_a"].to_pylist(), table["image_b"].to_pylist(), strict=True))
