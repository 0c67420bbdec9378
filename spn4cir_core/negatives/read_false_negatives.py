"""Counts and samples of a ``false_negatives`` artefact, read piece by piece: common captions make it very long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spn4cir_core.store.artifacts import Artifact

FALSE_NEGATIVES_FILE = "false_negatives.parquet"
SCHEMA = pa.schema([("triplet_id", pa.string()), ("image_id", pa.string()), ("reason", pa.string())])


@dataclass
class FalseNegativeCounts:
    """How many there are."""

    by_reason: dict[str, int] = field(default_factory=dict)
    """Rows; a candidate may be excluded for several reasons."""
    triplets: int = 0
    """Those that have any."""
    candidates: int = 0
    """Pairs of a triplet and a candidate that is excluded from its negatives."""


def count_false_negatives(artifact: Artifact) -> FalseNegativeCounts:
    """Count an artefact's rows, which are sorted by triplet and image."""
    counts, reasons, before = FalseNegativeCounts(), Counter[str](), ("", "")
    for piece in artifact.pieces(["triplet_id", "image_id", "reason"]):
        reasons.update({entry["values"]: entry["counts"] for entry in pc.value_counts(piece["reason"]).to_pylist()})
        triplets, images = _with_before(piece["triplet_id"], before[0]), _with_before(piece["image_id"], before[1])
        another_triplet = pc.not_equal(triplets[1:], triplets[:-1])
        another = pc.or_(another_triplet, pc.not_equal(images[1:], images[:-1]))
        counts.triplets += pc.sum(another_triplet, min_count=0).as_py()
        counts.candidates += pc.sum(another, min_count=0).as_py()
        before = triplets[-1].as_py(), images[-1].as_py()
    counts.by_reason = dict(sorted(reasons.items()))
    return counts


def _with_before(values: pa.Array, before: str) -> pa.Array:
    return pa.concat_arrays([pa.array([before], pa.string()), values])


def sample_false_negatives(
    artifact: Artifact, by_reason: Mapping[str, int], each: int, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Up to so many rows of each reason, drawn with the seed, in their order."""
    rows_of = {
        reason: np.sort(np.random.default_rng(seed).choice(rows, min(each, rows), replace=False))
        for reason, rows in by_reason.items()
    }
    samples: dict[str, list[dict[str, Any]]] = {reason: [] for reason in by_reason}
    passed: Counter[str] = Counter()
    for piece in artifact.pieces(["triplet_id", "image_id", "reason"]):
        for reason, wanted in rows_of.items():
            here = np.flatnonzero(pc.equal(piece["reason"], reason).to_numpy(zero_copy_only=False))
            picked = wanted[(wanted >= passed[reason]) & (wanted < passed[reason] + len(here))] - passed[reason]
            samples[reason] += piece.take(pa.array(here[picked])).to_pylist()
            passed[reason] += len(here)
    return samples
