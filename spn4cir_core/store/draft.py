"""An artefact that is being written."""

from __future__ import annotations

import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from spn4cir_core.store import table_groups
from spn4cir_core.store.fingerprints import file_sha256
from spn4cir_core.store.whole_file import whole_file, write_json


@dataclass
class Draft:
    """An artefact being written. What lies in ``path`` survives a kill and is there on the next try."""

    path: Path
    rows: int = 0
    drops: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    details: dict[str, Any] = field(default_factory=dict)
    linked: dict[str, tuple[Path, str]] = field(default_factory=dict)
    """Files of finished artefacts, by name: where they are from, and their checksum, which is not computed again."""

    def link(self, source: Path, sha256: str, name: str) -> None:
        """Share a file of a finished artefact: a hard link where the file system has them, else a copy."""
        target = self.file(name)
        target.unlink(missing_ok=True)
        try:
            target.hardlink_to(source)
        except OSError:
            with whole_file(target) as scratch:
                shutil.copyfile(source, scratch)
        self.linked[name] = source, sha256

    def sha256(self, name: str) -> str:
        """Checksum of one of its files; that of a shared file is known."""
        return self.linked[name][1] if name in self.linked else file_sha256(self.path / name)

    def file(self, name: str) -> Path:
        """Where to write one of the artefact's files; its folder exists."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_table(self, table: pa.Table, name: str) -> None:
        """Write a Parquet table into the draft."""
        path = self.file(name)
        with whole_file(path) as scratch:
            table_groups.write_table(scratch, table)

    def write_rows(self, rows: Iterable[Mapping[str, Any]], schema: pa.Schema, name: str) -> None:
        """Write rows as a Parquet table into the draft; no more than a row group of them is a table at a time."""
        with whole_file(self.file(name)) as scratch:
            table_groups.write_batches(scratch, schema, table_groups.batches_of(rows, schema))

    def write_json(self, value: Any, name: str) -> None:
        """Write JSON into the draft."""
        write_json(self.file(name), value)

    def drop(self, reason: str, count: int = 1) -> None:
        """Count rows left out, under a reason a person can read."""
        if count:
            self.drops[reason] += count

    @contextmanager
    def timed(self, cause: str) -> Iterator[None]:
        """Add the block's wall seconds to ``seconds[cause]``: read, compute or write."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[cause] += time.perf_counter() - started
