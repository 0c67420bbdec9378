"""Fingerprints: short hashes that decide whether work can be reused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

LENGTH = 16


class OmitFromFingerprint:
    """Annotates a setting that cannot change a result: ``workers: Annotated[int, OmitFromFingerprint()] = 2``."""


class OmitDefaultFromFingerprint:
    """Annotates a setting that came when artefacts had been made without it; its default does what was done before.

    It is left out of fingerprints while it has its default, so that those artefacts stay valid. The default can never
    change: another default is another setting.
    """


@dataclass(frozen=True)
class FingerprintKey:
    """Annotates a renamed setting: it enters fingerprints under its old ``key``, so that old artefacts stay valid.

    Example: ``exclude_known_positives: Annotated[bool, FingerprintKey("spares")] = True``, with
    ``renamed_keys = {"spares": "exclude_known_positives"}`` in the same class for recipes that give the old key.
    """

    key: str


def plain(value: Any) -> Any:
    """Reduce settings to JSON values, without the fields annotated with :class:`OmitFromFingerprint`, and without those
    annotated with :class:`OmitDefaultFromFingerprint` that have their default.

    A plug-in whose logic has changed carries a ``plugin_version`` above 1, which is added to its settings.
    """
    if isinstance(value, BaseModel):
        settings = {
            fingerprint_key(name, field): plain(getattr(value, name))
            for name, field in type(value).model_fields.items()
            if not _is_omitted(getattr(value, name), field)
        }
        kind, version = getattr(value, "plugin_kind", None), getattr(value, "plugin_version", 1)
        versioned = settings if version == 1 else {"version": version, **settings}
        return versioned if kind is None else {"kind": kind, **versioned}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    return value


def fingerprint_key(name: str, field: FieldInfo) -> str:
    """The name under which a setting enters fingerprints: its own, or the old one if it has been renamed."""
    return next((item.key for item in field.metadata if isinstance(item, FingerprintKey)), name)


def _is_omitted(value: Any, field: FieldInfo) -> bool:
    annotations = {type(item) for item in field.metadata}
    is_added_later = OmitDefaultFromFingerprint in annotations
    has_default = is_added_later and value == field.get_default(call_default_factory=True)
    return has_default or OmitFromFingerprint in annotations


def fingerprint(value: Any) -> str:
    """Hash any settings or JSON value; equal values give equal fingerprints on every machine."""
    return json_fingerprint(plain(value))


def json_fingerprint(value: Any) -> str:
    """The same of a value that holds nothing but JSON's own types, which need not be looked through."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_fingerprint(paths: Iterable[Path], root: Path) -> str:
    """Hash names (relative to ``root``) and bytes of files, in sorted order."""
    return fingerprint({path.relative_to(root).as_posix(): file_sha256(path) for path in sorted(paths)})
