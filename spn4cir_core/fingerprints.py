"""Fingerprints: short hashes that decide whether work can be reused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

LENGTH = 16


class NotFingerprinted:
    """Marks a setting that cannot change a result: ``workers: Annotated[int, NotFingerprinted()] = 2``."""


def plain(value: Any) -> Any:
    """Reduce settings to JSON values, leaving out fields marked :class:`NotFingerprinted`."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        kept = {
            name: plain(getattr(value, name))
            for name, field in fields.items()
            if not any(isinstance(mark, NotFingerprinted) for mark in field.metadata)
        }
        kind = getattr(value, "plugin_kind", None)
        return kept if kind is None else {"kind": kind, **kept}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    return value


def fingerprint(value: Any) -> str:
    """Hash any settings or JSON value; equal values give equal fingerprints on every machine."""
    text = json.dumps(plain(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_fingerprint(paths: Iterable[Path], root: Path) -> str:
    """Hash names (relative to ``root``) and bytes of files, in sorted order."""
    return fingerprint({path.relative_to(root).as_posix(): file_sha256(path) for path in sorted(paths)})
