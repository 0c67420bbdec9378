"""Triplets that verdicts and gates refuse: told apart, listed and pictured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.artifacts import Draft
from spn4cir_core.triplets.gate import GateBasis
from spn4cir_core.triplets.gates import refusal
from spn4cir_core.triplets.settings import GateName
from spn4cir_core.triplets.sheet import drawn, triplet_sheet
from spn4cir_core.triplets.triplet import SCHEMA, Triplet
from spn4cir_core.triplets.verdicts import REJECT, Verdict

REJECTED = "rejected by a person"
REFUSED_SCHEMA = SCHEMA.append(pa.field("reason", pa.string()))
TABLE, SHEET = "refused.parquet", "refused.jpg"
PER_REASON = 4


@dataclass(frozen=True)
class Refused:
    """A triplet that is left out, and why."""

    triplet: Triplet
    reason: str


def admit(
    triplets: Iterable[Triplet], gates: Collection[GateName], basis: GateBasis, verdicts: Mapping[str, Verdict]
) -> tuple[list[Triplet], list[Refused]]:
    """Part triplets: a verdict decides; without one an annotated triplet is in, a generated one must pass the gates."""
    kept: list[Triplet] = []
    refused: list[Refused] = []
    for triplet in triplets:
        verdict = verdicts.get(triplet.triplet_id)
        reason = REJECTED if verdict and verdict.verdict == REJECT else ""
        if triplet.origin == "generated" and verdict is None:
            reason = refusal(triplet, gates, basis)
        if reason:
            refused.append(Refused(triplet, reason))
        else:
            kept.append(triplet)
    return kept, refused


def record_refused(refused: Sequence[Refused], files: ImageFiles, draft: Draft) -> None:
    """Count what is refused as drops, write ``refused.parquet``, and ``refused.jpg`` if there is something to see."""
    by_reason: dict[str, list[Triplet]] = defaultdict(list)
    for item in sorted(refused, key=lambda item: item.triplet.triplet_id):
        by_reason[item.reason].append(item.triplet)
    samples = {reason: drawn(found, PER_REASON) for reason, found in sorted(by_reason.items())}
    for reason, found in by_reason.items():
        draft.drop(reason, len(found))
    draft.details["refused_by_reason"] = {
        reason: {"count": len(by_reason[reason]), "sample_ids": [triplet.triplet_id for triplet in found]}
        for reason, found in samples.items()
    }
    draft.write_table(refused_table(refused), TABLE)
    if refused:
        shown = [(item, f"{reason}: {item.modified_texts[0]}") for reason, found in samples.items() for item in found]
        triplet_sheet(shown, files).save(draft.file(SHEET), "JPEG", quality=85)


def refused_table(refused: Iterable[Refused]) -> pa.Table:
    """One row per refused triplet, sorted by id: the columns of ``triplets.parquet`` and the reason."""
    rows: list[dict[str, Any]] = [asdict(item.triplet) | {"reason": item.reason} for item in refused]
    return pa.Table.from_pylist(sorted(rows, key=lambda row: row["triplet_id"]), schema=REFUSED_SCHEMA)
