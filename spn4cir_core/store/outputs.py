"""Files and folders outside the store that somebody asks for: each is written whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spn4cir_core.errors import InputError
from spn4cir_core.store.whole_file import whole_file


@contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """Yield a scratch file beside ``path``, whose folder is made; it takes its place only if the block succeeds.

    Raises:
        InputError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as scratch:
            yield scratch
    except OSError as error:
        raise InputError(f"cannot write {path}: {error}; name a file in a folder you may write") from error


def write_output(path: Path, content: bytes) -> None:
    """Write a file; errors of :func:`output_file`."""
    with output_file(path) as scratch:
        scratch.write_bytes(content)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a scratch folder beside ``folder``, a new or empty one; it takes its place only if the block succeeds.

    Raises:
        InputError: the folder holds something, or cannot be written.
    """
    scratch = None
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder} holds something already; name a new folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        written = scratch / "written"
        written.mkdir()  # with the rights that the umask gives, as the temporary one has not
        yield written
        written.replace(folder)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error}; name a folder in one you may write") from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
