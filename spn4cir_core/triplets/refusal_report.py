"""The refused triplets of an artefact: a table, counts by reason, and a picture of some."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import pyarrow as pa

from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.draft import Draft
from spn4cir_core.triplets.gate_triplets import Refused
from spn4cir_core.triplets.sheet import drawn, triplet_sheet
from spn4cir_core.triplets.triplet import SCHEMA, Triplet, triplet_columns

REFUSED_FILE, REFUSED_SHEET = "refused.parquet", "refused.jpg"
REFUSED_SCHEMA = SCHEMA.append(pa.field("reason", pa.string()))
PER_REASON = 4


def read_refused(triplets: Artifact) -> pa.Table:
    """The refused triplets of a ``triplets`` artefact, sorted by id: the columns of a triplet, and ``reason``."""
    return triplets.table(REFUSED_FILE, REFUSED_SCHEMA.names)


def record_refused(refused: Sequence[Refused], files: ImageFiles, draft: Draft) -> None:
    """Count what is refused as drops, write ``refused.parquet``, and ``refused.jpg`` if there is something to see."""
    by_reason: dict[str, list[Triplet]] = defaultdict(list)
    for item in sorted(refused, key=lambda item: item.triplet.triplet_id):
        by_reason[item.reason].append(item.triplet)
    samples = {reason: drawn(triplets, PER_REASON) for reason, triplets in sorted(by_reason.items())}
    for reason, triplets in by_reason.items():
        draft.drop(reason, len(triplets))
    draft.details["refused_by_reason"] = {
        reason: {"count": len(by_reason[reason]), "sample_ids": [triplet.triplet_id for triplet in sample]}
        for reason, sample in samples.items()
    }
    draft.write_table(refused_table(refused), REFUSED_FILE)
    if refused:
        shown = [(item, f"{reason}: {item.modified_texts[0]}") for reason, sample in samples.items() for item in sample]
        triplet_sheet(shown, files).save(draft.file(REFUSED_SHEET), "JPEG", quality=85)


def refused_table(refused: Iterable[Refused]) -> pa.Table:
    """One row per refused triplet, sorted by id: the columns of ``triplets.parquet`` and the reason."""
    items = sorted(refused, key=lambda item: item.triplet.triplet_id)
    reasons = pa.array([item.reason for item in items], pa.string())
    return pa.Table.from_arrays([*triplet_columns([item.triplet for item in items]), reasons], schema=REFUSED_SCHEMA)
