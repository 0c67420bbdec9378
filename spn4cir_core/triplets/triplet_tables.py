"""The tables of a ``triplets`` artefact, and their readers."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa

from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.triplets.triplet import SCHEMA, Triplet, triplet_of

TRIPLETS_FILE, CANDIDATES_FILE = "triplets.parquet", "candidates.parquet"
CANDIDATE_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("path", pa.string()),
        ("pixel_sha256", pa.string()),
        ("caption", pa.string()),
        ("component", pa.int32()),
    ]
)
CandidateColumn = Literal["image_id", "path", "pixel_sha256", "caption", "component"]


def read_triplets(triplets: Artifact, *columns: str) -> pa.Table:
    """One row per triplet, sorted by id, with these columns of ``triplet.SCHEMA``; with all where none is named.

    Raises:
        StoreError: a column is missing, since another version wrote the artefact.
    """
    return triplets.table(TRIPLETS_FILE, list(columns) or SCHEMA.names)


def read_candidates(triplets: Artifact, *columns: CandidateColumn) -> pa.Table:
    """The candidate set, one row per image, sorted by image id, with these columns; with all where none is named.

    Raises:
        StoreError: a column is missing, since another version wrote the artefact.
    """
    return triplets.table(CANDIDATES_FILE, list(columns) or CANDIDATE_SCHEMA.names)


def training_triplets(triplets: Artifact) -> list[Triplet]:
    """The triplets of the training split, sorted by id.

    Raises:
        StoreError: a column is missing, since another version wrote the artefact.
    """
    rows: list[dict[str, Any]] = read_triplets(triplets).to_pylist()
    return [triplet_of(row) for row in rows if row["split"] == "train"]
