"""SHA-256 of files, stored by path, size and times of writing and change, so that listing a corpus again is cheap."""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from spn4cir_core.engine.batches import RowJob, fill
from spn4cir_core.engine.progress import silent
from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ImageFiles, is_plain
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.fingerprints import file_sha256, fingerprint
from spn4cir_core.store.rows import KEY, VALUE, Rows

BATCH_FILES, SHARD_FILES = 256, 16_384
PLAIN_VERSION = 2
ONLY_READ = (errno.EROFS, errno.EACCES, errno.EPERM)


def file_hashes(files: ImageFiles, paths: Iterable[str], store: Store, readers: int) -> dict[str, str]:
    """Hash files below the opener's root.

    Returns:
        Path → SHA-256, without the paths that lead to no file below the root.

    Raises:
        InputError: a file cannot be read.
    """
    keys: dict[str, str] = {}
    items: dict[str, str] = {}
    for path, located, status in files.locate_all(paths):
        keys[path] = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {path}"
        items[keys[path]] = located
    rows = Rows(store.rows("file_hashes", fingerprint(files.root.resolve())), pa.string())
    job = RowJob(
        "hashing files",
        rows,
        items,
        _sha256,
        lambda hashes: pa.array(hashes, pa.string()),
        BATCH_FILES,
        SHARD_FILES,
        readers,
    )
    hash_of = _filled(job)
    for table in rows.scan():
        hash_of.update(zip(table[KEY].to_pylist(), table[VALUE].to_pylist(), strict=True))
    return {path: hash_of[key] for path, key in keys.items()}


def all_plain(files: ImageFiles, paths: Mapping[str, str], store: Store, readers: int) -> bool:
    """Whether every file :func:`is_plain`; the headers are read once.

    Args:
        paths: a path of each file's SHA-256.
    """
    rows = Rows(store.rows("plain_files", fingerprint({"version": PLAIN_VERSION})), pa.bool_())
    job = RowJob(
        "reading headers",
        rows,
        paths,
        lambda path: is_plain(files.root / path),
        lambda plain: pa.array(plain, pa.bool_()),
        BATCH_FILES,
        SHARD_FILES,
        readers,
    )
    return all({**_filled(job), **rows.values(paths)}.values())


def _filled(job: RowJob[str]) -> dict[str, Any]:
    """Store the values of the keys that have none; where the store can only be read, return these instead."""
    try:
        fill(job, silent, defaultdict(float))
    except OSError as error:
        if error.errno not in ONLY_READ or job.read is None:
            raise
        return {key: job.read(job.items[key]) for key in job.items.keys() - job.rows.keys()}
    return {}


def _sha256(path: str) -> str:
    try:
        return file_sha256(Path(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}; check its rights, or take it out of the folder") from error
