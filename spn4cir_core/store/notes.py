"""Notes on what was looked at and need not be looked at again; all of them may be deleted."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

CHECKED = "checked"
"""Folder of the notes below the store's root."""


def read_note(path: Path) -> Any:
    """The JSON value of a note; None where there is none, or none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def write_note(path: Path, value: Any) -> None:
    """Write a note where the store can be written; without it the same is looked at again."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        scratch.write_text(json.dumps(value), encoding="utf-8")
        scratch.replace(path)
