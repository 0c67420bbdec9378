"""Verdicts: a CSV file in which people keep or reject single triplets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spn4cir_core.annotations.annotation_files import RowError, read_rows
from spn4cir_core.errors import InputError
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.triplets.settings import TripletsInput

KEEP, REJECT = "keep", "reject"
COLUMNS = ("triplet_id", "verdict")
"""Others, such as ``comment``, are for people."""


@dataclass(frozen=True)
class Verdict:
    """What a person decided about a triplet, and why."""

    verdict: str
    comment: str


def read_verdicts(path: str | None) -> dict[str, Verdict]:
    """Verdicts by triplet id; none without a file.

    A row without a verdict decides nothing; of several rows for one triplet the last one counts, so that files can be
    appended to each other.

    Raises:
        InputError: the file cannot be read, lacks a column, or has a verdict of another name.
    """
    if path is None:
        return {}
    try:
        data = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise InputError(f"triplets.verdicts = {path!r} cannot be read: {error}") from error
    verdicts: dict[str, Verdict] = {}
    for line, row in read_rows(str(path), data, COLUMNS):
        if isinstance(row, RowError):
            raise InputError(f"{path}, line {line}: {row.detail}")
        verdict = row["verdict"].lower()
        if verdict not in (KEEP, REJECT, ""):
            raise InputError(f"{path}, line {line}: verdict {row['verdict']!r} is neither {KEEP} nor {REJECT}")
        if verdict:
            verdicts[row["triplet_id"]] = Verdict(verdict, row.get("comment", ""))
    return verdicts


def verdicts_outside(tables: TripletsInput, store: Store) -> str | None:
    """What the stage reads from outside the store: the verdicts, without comments or order."""
    verdicts = {name: item.verdict for name, item in read_verdicts(tables.triplets.verdicts).items()}
    return fingerprint(verdicts) if verdicts else None


def verdict_counts(verdicts: Mapping[str, Verdict], triplet_ids: Collection[str]) -> dict[str, Any]:
    """Verdicts by kind, and those for triplets that do not exist (any more)."""
    offered = set(triplet_ids)
    unknown = sorted(verdicts.keys() - offered)
    known = [item.verdict for name, item in verdicts.items() if name in offered]
    counts = {KEEP: known.count(KEEP), REJECT: known.count(REJECT), "unknown": len(unknown)}
    return {**counts, "unknown_examples": unknown[:5]}
