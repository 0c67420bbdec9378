"""The small JSON files that say what an artefact is and which one a recipe last made, checked as they are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from spn4cir_core.errors import StoreError
from spn4cir_core.store.fingerprints import fingerprint as hash_of
from spn4cir_core.store.whole_file import read_json

SUMMARY = "summary.json"
SUMMARY_DIGEST = "summary_mark"
"""Hash of the rest of the summary."""
SUMMARY_PARTS: dict[str, type] = {
    "fingerprint": str,
    "rows": int,
    "drops": dict,
    "seconds": dict,
    "details": dict,
    "files": dict,
}
NAME = re.compile(r"\w+", re.ASCII)


def read_summary(path: Path) -> dict[str, Any]:
    """An artefact's summary, compared with its own mark.

    Raises:
        StoreError: it cannot be read, or was changed.
    """
    summary = read_json(path)
    digest = summary.pop(SUMMARY_DIGEST, None) if isinstance(summary, dict) else ""
    if not _is_summary(summary) or digest not in (None, hash_of(summary)):
        raise StoreError(f"{path} is damaged: it was changed. Delete {path.parent} and run again.")
    return dict(summary)


def read_pointer(path: Path) -> dict[str, str | None]:
    """The ``fingerprint`` that a recipe's pointer names, and the one ``before``; None for each that there is not.

    Raises:
        StoreError: it is damaged, or names something else than a folder beside its like.
    """
    value = read_json(path)
    fingerprints = {name: value.get(name) if isinstance(value, dict) else "?" for name in ("fingerprint", "before")}
    if not all(
        fingerprint is None or (isinstance(fingerprint, str) and NAME.fullmatch(fingerprint))
        for fingerprint in fingerprints.values()
    ):
        raise StoreError(f"{path} is damaged. Delete it and run again: nothing is computed anew.")
    return fingerprints


def _is_summary(value: Any) -> bool:
    """Whether a summary has the parts that every one has, each of its kind, and can be hashed."""
    if not (isinstance(value, dict) and all(isinstance(value.get(name), kind) for name, kind in SUMMARY_PARTS.items())):
        return False
    try:
        hash_of(value)
    except UnicodeEncodeError:
        return False
    return all(
        isinstance(recorded, dict)
        and isinstance(recorded.get("bytes"), int)
        and isinstance(recorded.get("sha256"), str)
        for recorded in value["files"].values()
    )
