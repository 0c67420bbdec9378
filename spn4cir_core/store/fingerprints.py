"""Fingerprints: short hashes that decide whether work can be reused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

LENGTH = 16


class OmitFromFingerprint:
    """Marks a setting that cannot change a result: ``workers: Annotated[int, OmitFromFingerprint()] = 2``."""


class OmitDefaultFromFingerprint:
    """Marks a setting that came when artefacts had been made without it; its default does what was done before.

    It is left out of fingerprints while it has its default, so that those artefacts stay good. The default can never
    change: another one is another setting.
    """


def plain(value: Any) -> Any:
    """Reduce settings to JSON values, without fields marked :class:`OmitFromFingerprint`, and without those marked
    :class:`OmitDefaultFromFingerprint` that have their default.

    A plug-in whose logic has changed carries a ``plugin_version`` above 1, which stands among its settings.
    """
    if isinstance(value, BaseModel):
        kept = {
            name: plain(getattr(value, name))
            for name, field in type(value).model_fields.items()
            if not _left_out(getattr(value, name), field)
        }
        kind, version = getattr(value, "plugin_kind", None), getattr(value, "plugin_version", 1)
        marked = kept if version == 1 else {"version": version, **kept}
        return marked if kind is None else {"kind": kind, **marked}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    return value


def _left_out(value: Any, field: FieldInfo) -> bool:
    marks = {type(mark) for mark in field.metadata}
    added_later = OmitDefaultFromFingerprint in marks and value == field.get_default(call_default_factory=True)
    return added_later or OmitFromFingerprint in marks


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
