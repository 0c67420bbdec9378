"""The tables of a ``triplets`` artefact, and their readers."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from spn4cir_core.errors import StoreError
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
    return _read(triplets, TRIPLETS_FILE, columns)


def read_candidates(triplets: Artifact, *columns: CandidateColumn) -> pa.Table:
    """The candidate set, one row per image, sorted by image id, with these columns; with all where none is named.

    Raises:
        StoreError: a column is missing, since another version wrote the artefact.
    """
    return _read(triplets, CANDIDATES_FILE, columns)


def training_triplets(triplets: Artifact) -> list[Triplet]:
    """The triplets of the training split, sorted by id.

    Raises:
        StoreError: a column is missing, since another version wrote the artefact.
    """
    rows: list[dict[str, Any]] = read_triplets(triplets, *SCHEMA.names).to_pylist()
    return [triplet_of(row) for row in rows if row["split"] == "train"]


def _read(triplets: Artifact, file: str, columns: tuple[str, ...]) -> pa.Table:
    missing = [name for name in columns if name not in pq.read_schema(triplets.file(file)).names]
    if missing:
        raise StoreError(
            f"{file} of triplets {triplets.fingerprint} has no column {missing[0]!r}: another version of this package "
            "wrote it. Run: spn4cir run --select triplets"
        )
    return triplets.table(file, columns=list(columns) or None)
