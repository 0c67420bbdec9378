"""Checksums of finished files, compared when a file is first read and not again while it stays as it was."""

from __future__ import annotations

from pathlib import Path

from spn4cir_core.errors import StoreError
from spn4cir_core.store.fingerprints import file_sha256
from spn4cir_core.store.notes import CHECKED, read_note, write_note

NOTED_BYTES = 64 << 20
"""Files of this size and more are not hashed again by each process: the store keeps a note of what was compared."""

_seen: set[tuple[str | int, ...]] = set()
"""Checksum and state of the files that this process has compared; a hard link is the same file."""


def check_file(path: Path, sha256: str, folder: Path) -> None:
    """Compare a file of the artefact in ``folder`` with its checksum, unless that was done since it last changed.

    Small files are compared once in each process; of large ones a note is kept in the store, ``checked/…``, so that a
    bank of gigabytes is hashed once and not by every stage and every process that reads it.

    Raises:
        StoreError: the bytes are not those that were written.
    """
    state = file_state(path)
    if (sha256, *state) in _seen:
        return
    root = folder.parents[1]
    note = root / CHECKED / path.relative_to(root)
    noted = state[1] >= NOTED_BYTES
    if not noted or read_note(note) != [sha256, state]:
        compare(path, sha256, folder)
        if noted:
            write_note(note, [sha256, state])
    _seen.add((sha256, *state))


def share_note(path: Path, linked: Path, root: Path) -> None:
    """Let a hard link of a file count as compared where the file does; both must lie in the store ``root``."""
    if path.is_relative_to(root) and (noted := read_note(root / CHECKED / path.relative_to(root))) is not None:
        write_note(root / CHECKED / linked.relative_to(root), noted)


def compare(path: Path, sha256: str, folder: Path) -> None:
    """Hash a file and compare, whatever was done before.

    Raises:
        StoreError: the bytes are not those that were written.
    """
    if file_sha256(path) != sha256:
        raise StoreError(
            f"{path} does not match its checksum: it was damaged. Delete {folder} and run again. "
            "If this happens again, test the disk and the memory of this machine."
        )


def file_state(path: Path) -> list[int]:
    """What changes when a file is written again: time of change in ns, bytes, inode."""
    status = path.stat()
    return [status.st_mtime_ns, status.st_size, status.st_ino]
