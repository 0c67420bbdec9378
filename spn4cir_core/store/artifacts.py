"""Artefacts on storage: one folder each, written whole or not at all.

Layout below the store's root::

    <noun>/<fingerprint>/            data files and summary.json; never changed once there
    <noun>/.<fingerprint>.draft/     being written; a killed stage continues here
    locks/<noun>-<fingerprint>       held while it is written (by whom, since when)
    checked/<noun>/<fingerprint>/    notes on large files that were compared with their checksums
    rows/<noun>/<model>/             results kept per image, see batches.py
    recipes/<name>/<noun>.json       which fingerprint the recipe last materialised
    recipes/<name>/source.json       what the recipe was loaded from, see launch/recipe_source.py

The fingerprint hashes the settings a stage read, the version of its logic, what it read from outside
the store, and its parents' fingerprints. Same fingerprint on storage: nothing to do.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spn4cir_core.errors import AlreadyWritten, StoreError
from spn4cir_core.store import table_groups
from spn4cir_core.store.checksums import check_file, compare, share_note
from spn4cir_core.store.draft import Draft
from spn4cir_core.store.fingerprints import fingerprint as hash_of
from spn4cir_core.store.locks import locked
from spn4cir_core.store.summaries import SUMMARY, SUMMARY_DIGEST, read_pointer, read_summary
from spn4cir_core.store.whole_file import as_note, sync_folder, write_json

PIECE_ROWS = 1 << 16
RECIPE_NOTE = "source.json"
UNWRITABLE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EFBIG,
    errno.ENOTDIR,
    errno.EEXIST,
}
UNWRITABLE_WORDS = ("No space left on device", "Disk quota exceeded", "File too large", " requested and ")


@dataclass(frozen=True)
class Artifact:
    """A finished artefact, read only."""

    noun: str
    path: Path
    summary: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """The hash that names this artefact."""
        return str(self.summary["fingerprint"])

    @property
    def location(self) -> str:
        """Location of the artefact as messages print it."""
        return str(self.path)

    @property
    def details(self) -> dict[str, Any]:
        """What the stage wrote about its work: counts, settings worth showing, headline numbers."""
        return dict(self.summary["details"])

    def file(self, name: str) -> Path:
        """Path of one of the artefact's files, whose bytes are those that were written.

        Raises:
            StoreError: the artefact has no such file, or it was damaged: its size or its checksum is another.
        """
        path = self.size_checked(name)
        check_file(path, self.summary["files"][name]["sha256"], self.path)
        return path

    def size_checked(self, name: str) -> Path:
        """Path of one of the artefact's files, of which nothing is read.

        Raises:
            StoreError: the artefact has no such file, or its size is another.
        """
        path = self.path / name
        recorded = self.summary["files"].get(name)
        if recorded is None:
            raise StoreError(
                f"{self.noun} {self.fingerprint} has no file {name!r}; its files: {sorted(self.summary['files'])}"
            )
        if not path.is_file():
            raise StoreError(f"{path} is missing: it was deleted. Delete {self.path} and run again.")
        if path.stat().st_size != recorded["bytes"]:
            raise StoreError(
                f"{path} has {path.stat().st_size} bytes, its summary says {recorded['bytes']}: it was damaged. "
                f"Delete {self.path} and run again."
            )
        return path

    def share(self, name: str, draft: Draft, new_name: str = "") -> None:
        """Put one of its files into a draft too, as :meth:`Draft.link` does.

        Raises:
            StoreError: the artefact has no such file, or its size is another.
        """
        draft.link(self.size_checked(name), self.summary["files"][name]["sha256"], new_name or name)

    def table(self, name: str = "", columns: list[str] | None = None) -> pa.Table:
        """Read one of the artefact's Parquet tables, by default the one named like the artefact.

        Args:
            columns: read these alone, in this order. Default: all that the file has.

        Raises:
            StoreError: there is no such file or column, or the file is damaged.
        """
        return table_groups.read_table(self._parquet(name or f"{self.noun}.parquet", columns), columns)

    def head(self, rows: int) -> pa.Table:
        """The first rows of the table named like the artefact; the others are not read."""
        table = self._parquet(f"{self.noun}.parquet")
        return pa.Table.from_batches(itertools.islice(table.iter_batches(rows), 1), table.schema_arrow)

    def pieces(self, columns: list[str], rows: int = PIECE_ROWS) -> Iterator[pa.RecordBatch]:
        """Read columns of the table named like the artefact piece by piece: the whole may be too large for memory.

        Raises:
            StoreError: there is no such file or column, or the file is damaged.
        """
        yield from self._parquet(f"{self.noun}.parquet", columns).iter_batches(rows, columns=columns)

    def _parquet(self, name: str, columns: list[str] | None = None) -> pq.ParquetFile:
        try:
            file = pq.ParquetFile(self.file(name))
        except pa.ArrowInvalid as error:
            path = self.path / name
            raise StoreError(f"{path} is not a Parquet file ({error}). Delete {self.path} and run again.") from error
        missing = [column for column in columns or () if column not in file.schema_arrow.names]
        if missing:
            raise StoreError(
                f"{name} of {self.noun} {self.fingerprint} has no column {missing[0]!r}; its columns: "
                f"{file.schema_arrow.names}. If another version of this package wrote it, run: spn4cir run --select "
                f"{self.noun}. If that calls it up to date, delete {self.path} first"
            )
        return file

    def damage(self) -> str:
        """Says which of its files is missing or has another size, and what to do; empty where none is."""
        for name in self.summary["files"]:
            try:
                self.size_checked(name)
            except StoreError as error:
                return str(error)
        return ""

    def verify(self) -> None:
        """Compare every file with its recorded checksum, those compared before as well.

        Raises:
            StoreError: a file is missing or its bytes are not those that were written.
        """
        for name, recorded in self.summary["files"].items():
            compare(self.size_checked(name), recorded["sha256"], self.path)


class Store:
    """Where artefacts live. Several recipes may share a store; equal work is then done once."""

    def __init__(self, root: Path | str) -> None:
        if re.match(r"[a-z][a-z0-9+.-]+:/", str(root)):
            raise StoreError(f"{root} is not a folder; a store behind a URL is opened by remote_store.open_store")
        self.root = Path(root).expanduser().absolute()

    def __str__(self) -> str:
        """Location of the store as messages print it."""
        return str(self.root)

    def rows(self, noun: str, model: str) -> Path:
        """Folder of results kept per image for one noun and one model fingerprint."""
        return self.root / "rows" / noun / model

    def get(self, noun: str, fingerprint: str) -> Artifact | None:
        """The finished artefact of that fingerprint, or None.

        Raises:
            StoreError: it is there but its summary cannot be read, or was changed.
        """
        path = self.root / noun / fingerprint
        return Artifact(noun, path, read_summary(path / SUMMARY)) if (path / SUMMARY).is_file() else None

    def current(self, recipe: str, noun: str) -> Artifact | None:
        """What the recipe last materialised under this noun, or None."""
        fingerprint = self._pointer(recipe, noun).get("fingerprint")
        return self.get(noun, fingerprint) if fingerprint else None

    def without_summary(self, recipe: str, noun: str) -> Path | None:
        """The folder of what the recipe last materialised under this noun, where its summary is lost."""
        fingerprint = self._pointer(recipe, noun).get("fingerprint")
        folder = self.root / noun / str(fingerprint)
        return folder if fingerprint and folder.is_dir() and self.get(noun, fingerprint) is None else None

    def before(self, recipe: str, noun: str) -> Artifact | None:
        """What the recipe had materialised under this noun before the current one, or None."""
        fingerprint = self._pointer(recipe, noun).get("before")
        return self.get(noun, fingerprint) if fingerprint else None

    def point(self, recipe: str, artifact: Artifact) -> None:
        """Record that the recipe's artefact of this noun is now this one."""
        before = self._pointer(recipe, artifact.noun).get("fingerprint")
        if before != artifact.fingerprint:
            self._set_pointer(recipe, artifact.noun, {"fingerprint": artifact.fingerprint, "before": before})

    @contextmanager
    def writing(self, noun: str, fingerprint: str, provenance: dict[str, Any]) -> Iterator[Draft]:
        """Yield the draft of an artefact while holding its lock; publish it if the block succeeds.

        If the block raises, or the process is killed, the draft stays for the next try and no artefact
        appears.

        Raises:
            AlreadyWritten: another process has written it since the caller looked.
            StoreError: another process is writing this artefact, or the store cannot be written.
        """
        draft = Draft(self.root / noun / f".{fingerprint}.draft")
        with self.translate_write_errors(noun), self._held(noun, fingerprint):
            if self.get(noun, fingerprint) is not None:
                raise AlreadyWritten(f"{noun} {fingerprint} has just been written by another process; run again.")
            draft.path.mkdir(parents=True, exist_ok=True)
            for scratch in draft.path.rglob(".*.tmp"):  # left by a killed process
                scratch.unlink()
            yield draft
            self._publish(noun, fingerprint, draft, provenance)

    @contextmanager
    def translate_write_errors(self, noun: str) -> Iterator[None]:
        """Say what to do when the store cannot be written; other errors pass.

        Raises:
            StoreError: a write failed: a full disk, a quota, missing rights, a read-only path.
        """
        try:
            yield
        except StoreError:
            raise
        except Exception as error:  # Arrow, NumPy and safetensors raise different errors on a full disk
            if not self._is_unwritable(error):
                raise
            raise StoreError(
                f"cannot write {noun} into the store {self.root}: {error}. Nothing half-written is used; "
                "check the path, its rights and its free space, then run again."
            ) from error

    def _is_unwritable(self, error: Exception) -> bool:
        if isinstance(error, OSError) and isinstance(error.filename, str | os.PathLike):
            path = Path(error.filename).absolute()
            own = path.is_relative_to(self.root) or self.root.is_relative_to(path)
            return own and error.errno in UNWRITABLE
        is_in_words = any(words in str(error) for words in UNWRITABLE_WORDS)
        return is_in_words or (isinstance(error, OSError) and error.errno in UNWRITABLE)

    def _publish(self, noun: str, fingerprint: str, draft: Draft, provenance: dict[str, Any]) -> None:
        files = sorted(path for path in draft.path.rglob("*") if path.is_file() and path.name != SUMMARY)
        names = [path.relative_to(draft.path).as_posix() for path in files]
        summary = {
            "noun": noun,
            "fingerprint": fingerprint,
            **provenance,
            "rows": draft.rows,
            "drops": dict(sorted(draft.drops.items())),
            "seconds": {cause: round(value, 3) for cause, value in sorted(draft.seconds.items())},
            "details": draft.details,
            "files": {
                name: {"bytes": (draft.path / name).stat().st_size, "sha256": draft.sha256(name)} for name in names
            },
        }
        plain = json.loads(json.dumps(summary))  # hashed as it will be read
        write_json(draft.path / SUMMARY, {**plain, SUMMARY_DIGEST: hash_of(plain)})
        target = self.root / noun / fingerprint
        if target.exists() and not (target / SUMMARY).is_file():  # its summary was lost: nobody can read the rest
            shutil.rmtree(target)
        draft.path.replace(target)
        sync_folder(self.root / noun)
        for name, (source, _) in draft.linked.items():
            share_note(source, target / name, self.root)

    def _held(self, noun: str, fingerprint: str) -> AbstractContextManager[None]:
        """The lock of one artefact."""
        return locked(self.root / "locks" / f"{noun}-{fingerprint}", f"{noun} {fingerprint}")

    def recipe_names(self) -> list[str]:
        """Names of the recipes whose source is known, sorted."""
        return sorted(path.parent.name for path in (self.root / "recipes").glob(f"*/{RECIPE_NOTE}"))

    def recipe_note(self, recipe: str) -> dict[str, Any]:
        """What :meth:`set_recipe_note` wrote; empty where nothing, or nothing that can be read."""
        return as_note((self.root / "recipes" / recipe / RECIPE_NOTE).read_bytes)

    def set_recipe_note(self, recipe: str, note: dict[str, Any]) -> None:
        """Write what the recipe of that name was loaded from."""
        path = self.root / "recipes" / recipe / RECIPE_NOTE
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, note)

    def _pointer(self, recipe: str, noun: str) -> dict[str, Any]:
        path = self.root / "recipes" / recipe / f"{noun}.json"
        return read_pointer(path) if path.is_file() else {}

    def _set_pointer(self, recipe: str, noun: str, value: dict[str, Any]) -> None:
        path = self.root / "recipes" / recipe / f"{noun}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, value)
