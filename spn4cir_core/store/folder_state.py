"""Whether anything below a folder has changed, by what the file system says of its files; none of them is read."""

from __future__ import annotations

import hashlib
import os
import time
from functools import cache
from pathlib import Path

SETTLED_NS = 2_000_000_000
"""Files that changed later than this before a look may change once more without a trace: file systems' clocks tick."""


def folder_state(folder: Path, without: Path | None = None) -> str | None:
    """A hash that changes whenever a file below the folder comes, goes or is written; 4 µs a file.

    Made of names, sizes, inodes and times of change, of linked files those of the files that they lead to. Folders
    whose names begin with ``.`` or ``_`` are left out, and so is the folder ``without``.

    Returns:
        None where a file changed within the last two seconds, or a link leads to a folder, which is not looked into.

    Raises:
        OSError: a folder cannot be read.
    """
    before_ns = time.time_ns() - SETTLED_NS
    digest, pending, left_out = hashlib.sha256(), [os.fspath(folder)], without and os.fspath(without)
    while pending:
        parent = pending.pop()
        digest.update(f"{parent}\n".encode(errors="surrogateescape"))
        with os.scandir(parent) as entries:
            listing = sorted(entries, key=lambda entry: entry.name)
        for entry in listing:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith((".", "_")) and entry.path != left_out:
                    pending.append(entry.path)
                continue
            if entry.is_symlink() and _leads_to_a_folder(entry):
                return None
            status = _status(entry)
            if status.st_ctime_ns > before_ns:
                return None
            line = f"{entry.name}/{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}\n"
            digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _leads_to_a_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _status(entry: os.DirEntry[str]) -> os.stat_result:
    try:
        return entry.stat()
    except OSError:  # a link that leads nowhere
        return entry.stat(follow_symlinks=False)


@cache
def code_state() -> str | None:
    """The same of this package: what another version would find is not what this one has found."""
    return folder_state(Path(__file__).parents[1])
