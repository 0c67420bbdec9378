"""The table of a ``pairs`` artefact, and its reader."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa

from spn4cir_core.store.artifacts import Artifact

PAIRS_FILE = "pairs.parquet"
SCHEMA = pa.schema(
    [
        ("pair_id", pa.string()),
        ("reference_id", pa.string()),
        ("target_id", pa.string()),
        ("rank", pa.int32()),
        ("score", pa.float32()),
        ("window_first_rank", pa.int32()),
        ("window_end_rank", pa.int32()),
        ("split", pa.string()),
    ]
)
PairColumn = Literal[
    "pair_id", "reference_id", "target_id", "rank", "score", "window_first_rank", "window_end_rank", "split"
]


def read_pairs(pairs: Artifact, *columns: PairColumn) -> pa.Table:
    """One row per pair, sorted by ``pair_id``, with these columns; with all columns where none is named."""
    return pairs.table(PAIRS_FILE, list(columns) or SCHEMA.names)
