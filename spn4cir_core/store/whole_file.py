"""Files that are written whole or not at all, and the JSON in them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spn4cir_core.errors import StoreError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a scratch path beside ``path``; rename it into place only if the block succeeds."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        scratch.touch()
        mode = scratch.stat().st_mode  # that of the umask; some writers make files that their owner alone can read
        yield scratch
        scratch.chmod(mode)
        with scratch.open("rb") as stream:
            os.fsync(stream.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make sure that what was renamed in a folder is so on the disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    with whole_file(path) as scratch:
        scratch.write_text(json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        StoreError: the file is not valid JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is damaged ({error}). Delete {path.parent} and run again.") from error


def as_note(read: Callable[[], bytes | None]) -> dict[str, Any]:
    """A JSON object that is worth having and can be missed: empty where it cannot be read."""
    try:
        value = json.loads(read() or b"{}")
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
