"""A store behind a URL: ``s3://bucket/prefix``, ``gs://…``, ``memory://…``, whatever fsspec can open.

Computing is done in a working folder on this machine, laid out like any store, because everything is memory-mapped.
Behind the URL lie, under the same names, the finished artefacts, the pointers, and the results kept per image. A file
is fetched when it is first read; an artefact counts once its summary is there, which is uploaded last.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.request import url2pathname
from uuid import uuid4

from typing_extensions import override

from spn4cir_core.errors import StoreError
from spn4cir_core.store.artifacts import RECIPE_NOTE, Artifact, Store
from spn4cir_core.store.draft import Draft
from spn4cir_core.store.fingerprints import file_sha256
from spn4cir_core.store.locks import in_turn
from spn4cir_core.store.remote_files import RemoteFiles
from spn4cir_core.store.remote_locks import RemoteLock, remote_lock
from spn4cir_core.store.rows import read_part
from spn4cir_core.store.summaries import SUMMARY, read_summary
from spn4cir_core.store.whole_file import as_note, whole_file

log = logging.getLogger(__name__)
Item = TypeVar("Item")
CACHE = "SPN4CIR_CACHE"
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
CONNECTIONS = 8
KEEP_UP_EVERY_S = 5.0
PART = re.compile(r"part-[0-9a-z-]+\.parquet")


def open_store(where: str | Path) -> Store:
    """The store in a folder or behind a URL.

    Raises:
        StoreError: the URL holds credentials, or nothing can be opened by it.
    """
    protocol, separator, rest = str(where).partition("://")
    if not separator:
        return Store(where)
    return Store(url2pathname(rest)) if protocol == "file" else RemoteStore(str(where))


def working_folder(url: str) -> Path:
    """Where this machine works on the store of that URL: below ``SPN4CIR_CACHE``, else ``~/.cache/spn4cir``."""
    endpoint = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), "")
    digest = hashlib.sha256(f"{url} {endpoint}".encode()).hexdigest()[:8]
    cache = Path(os.environ.get(CACHE) or "~/.cache/spn4cir").expanduser()
    return cache / f"{re.sub(r'[^A-Za-z0-9]+', '-', url).strip('-')[:80]}-{digest}"


@dataclass(frozen=True)
class RemoteArtifact(Artifact):
    """A finished artefact whose files are fetched when they are first read."""

    remote: RemoteFiles

    @property
    def location(self) -> str:
        """Location of the artefact as messages print it."""
        return self.remote.location(f"{self.noun}/{self.path.name}")

    @override
    def size_checked(self, name: str) -> Path:
        if name in self.summary["files"] and not (self.path / name).is_file():
            self._fetch(name)
        return super().size_checked(name)

    def verify(self) -> None:
        """Fetch every file anew and compare it with its recorded checksum.

        Raises:
            StoreError: a file is missing or its bytes are not those that were written.
        """
        for name in self.summary["files"]:
            self._fetch(name, anew=True)
            super().size_checked(name)

    def damage(self) -> str:
        """As :meth:`Artifact.damage`, of the files on this machine; the others are fetched when they are read."""
        here = {name: recorded for name, recorded in self.summary["files"].items() if (self.path / name).is_file()}
        return Artifact(self.noun, self.path, {**self.summary, "files": here}).damage()

    def is_whole(self) -> bool:
        """Whether all of its files are on this machine."""
        sizes = {name: recorded["bytes"] for name, recorded in self.summary["files"].items()}
        paths = {name: self.path / name for name in sizes}
        return all(path.is_file() and path.stat().st_size == sizes[name] for name, path in paths.items())

    def _fetch(self, name: str, anew: bool = False) -> None:
        recorded, remote_name = self.summary["files"][name], f"{self.noun}/{self.path.name}/{name}"
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise StoreError(
                f"{self.location}/{SUMMARY} is damaged: it names the file {name!r}. Delete {self.location}."
            )

        def check(scratch: Path) -> None:
            if scratch.stat().st_size != recorded["bytes"] or file_sha256(scratch) != recorded["sha256"]:
                raise StoreError(
                    f"{self.remote.location(remote_name)} does not match its checksum: it was damaged. Delete "
                    f"{self.location} and {self.path}, and run again."
                )

        with in_turn(self.path.parents[1] / "locks" / f"fetch-{self.noun}-{self.path.name}"):
            if anew or not (self.path / name).is_file():
                self.remote.fetch(remote_name, self.path / name, check)


class RemoteStore(Store):
    """Where artefacts live, behind a URL; :attr:`root` is the working folder on this machine."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.files = RemoteFiles(self.url)
        super().__init__(working_folder(self.url))
        self._there: set[tuple[str, str]] = set()
        self._row_folders: set[Path] = set()
        self._parts_there: set[str] = set()
        self._lock: RemoteLock | None = None

    def __str__(self) -> str:
        """Location of the store as messages print it."""
        return self.url

    def __reduce__(self) -> tuple[type[RemoteStore], tuple[str]]:
        return RemoteStore, (self.url,)

    def rows(self, noun: str, model: str) -> Path:
        """Folder of results kept per image for one noun and one model fingerprint, with those of other machines."""
        folder = super().rows(noun, model)
        self._row_folders.add(folder)
        with in_turn(self._turn(folder)):
            missing = {part for part in self._parts(folder) if not (folder / part).is_file()}
            _side_by_side(lambda part: self._fetch_part(folder, part), missing)
        return folder

    def get(self, noun: str, fingerprint: str) -> Artifact | None:
        """The finished artefact of that fingerprint, or None.

        One that is whole on this machine is good, even if its upload was cut; of any other the summary must be
        behind the URL.

        Raises:
            StoreError: it is there but its summary cannot be read, or was changed.
        """
        artifact = self._local(noun, fingerprint)
        if artifact is not None and ((noun, fingerprint) in self._there or artifact.is_whole()):
            return artifact
        if not self._is_there(noun, fingerprint):
            return None
        if artifact is None:
            with in_turn(self._turn(Path(noun, fingerprint))):
                name = f"{noun}/{fingerprint}/{SUMMARY}"
                self.files.fetch(name, self.root / name, lambda scratch: self._check_summary(scratch, name))
        return self._local(noun, fingerprint)

    def point(self, recipe: str, artifact: Artifact) -> None:
        """Record that the recipe's artefact of this noun is now this one; upload it first if that was cut."""
        if not self._is_there(artifact.noun, artifact.fingerprint):
            with self._held(artifact.noun, artifact.fingerprint):
                self._upload(artifact.noun, artifact.fingerprint, self.root.glob("rows/*/*"))
        super().point(recipe, artifact)

    def _is_there(self, noun: str, fingerprint: str) -> bool:
        """Whether the artefact is behind the URL; artefacts never change, so a positive answer is remembered."""
        if (noun, fingerprint) not in self._there and self.files.has(f"{noun}/{fingerprint}/{SUMMARY}"):
            self._there.add((noun, fingerprint))
        return (noun, fingerprint) in self._there

    def _local(self, noun: str, fingerprint: str) -> RemoteArtifact | None:
        artifact = super().get(noun, fingerprint)
        return (
            RemoteArtifact(artifact.noun, artifact.path, artifact.summary, self.files) if artifact is not None else None
        )

    @contextmanager
    def _held(self, noun: str, fingerprint: str) -> Iterator[None]:
        name, what = f"locks/{noun}-{fingerprint}", f"{noun} {fingerprint}"
        with super()._held(noun, fingerprint), remote_lock(self.files, name, what, self._machine()) as self._lock:
            ended = threading.Event()
            keeping_up = threading.Thread(target=self._keep_up, args=(ended,), daemon=True)
            keeping_up.start()
            try:
                yield
            finally:
                ended.set()
                keeping_up.join()

    def _publish(self, noun: str, fingerprint: str, draft: Draft, provenance: dict[str, Any]) -> None:
        shutil.rmtree(self.root / noun / fingerprint, ignore_errors=True)  # a part of what was deleted behind the URL
        super()._publish(noun, fingerprint, draft, provenance)
        assert self._lock is not None
        self._lock.check()
        self._upload(noun, fingerprint, self._row_folders, self._shared(draft))

    def _shared(self, draft: Draft) -> dict[str, str]:
        """File of a draft → the name behind the URL of the artefact's file that it shares."""
        sources = {name: source for name, (source, _) in draft.linked.items() if source.is_relative_to(self.root)}
        return {name: source.relative_to(self.root).as_posix() for name, source in sources.items()}

    def _upload(
        self,
        noun: str,
        fingerprint: str,
        row_folders: Iterable[Path],
        shared: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Bring an artefact behind the URL, its summary last; what an earlier try has uploaded is left as it is.

        Args:
            shared: names behind the URL of files of other artefacts, which are copied there in place of an upload.
        """
        made, folder = self._local(noun, fingerprint), f"{noun}/{fingerprint}"
        assert made is not None
        if self._is_there(noun, fingerprint):
            return
        for rows in sorted(row_folders):
            self._send_rows(rows)
        note = self.root / "uploaded" / noun / fingerprint
        sent = set(note.read_text(encoding="utf-8").splitlines()) if note.is_file() else set[str]()
        sizes = self.files.sizes(folder) if sent else {}
        for name, recorded in made.summary["files"].items():
            if name not in sent or sizes.get(name) != recorded["bytes"]:
                if name not in shared or not self.files.copy(shared[name], f"{folder}/{name}"):
                    self.files.send(made.path / name, f"{folder}/{name}")
                note.parent.mkdir(parents=True, exist_ok=True)
                with note.open("a", encoding="utf-8") as stream:
                    stream.write(f"{name}\n")
        self.files.send(made.path / SUMMARY, f"{folder}/{SUMMARY}")
        self._there.add((noun, fingerprint))
        note.unlink(missing_ok=True)

    def _keep_up(self, ended: threading.Event) -> None:
        """Upload the shards of rows as they are finished."""
        while not ended.wait(KEEP_UP_EVERY_S):
            try:
                for folder in sorted(self._row_folders):
                    self._send_rows(folder, patience_s=0)
            except StoreError as error:
                log.warning("%s", error)

    def _send_rows(self, folder: Path, patience_s: float | None = None) -> None:
        name = folder.relative_to(self.root).as_posix()
        new = {part.name for part in folder.glob("part-*.parquet") if f"{name}/{part.name}" not in self._parts_there}
        if not new:
            return
        with in_turn(self._turn(folder)):
            missing = new - self._parts(folder, patience_s)
            _side_by_side(lambda part: self.files.send(folder / part, f"{name}/{part}", patience_s), missing)
            self._parts_there |= {f"{name}/{part}" for part in missing}

    def _parts(self, folder: Path, patience_s: float | None = None) -> set[str]:
        """Names of the parts of a folder of rows that are behind the URL."""
        name = folder.relative_to(self.root).as_posix()
        parts = {part for part in self.files.sizes(name, patience_s) if PART.fullmatch(part)}
        self._parts_there |= {f"{name}/{part}" for part in parts}
        return parts

    def _fetch_part(self, folder: Path, part: str) -> None:
        name = f"{folder.relative_to(self.root).as_posix()}/{part}"

        def check(scratch: Path) -> None:
            try:
                read_part(scratch)
            except StoreError as error:
                location = self.files.location(name)
                raise StoreError(f"{location} is damaged. Delete it and run again: its rows come anew.") from error

        self.files.fetch(name, folder / part, check)

    def _check_summary(self, scratch: Path, name: str) -> None:
        try:
            read_summary(scratch)
        except StoreError as error:
            location = self.files.location(name)
            raise StoreError(
                f"{location} is damaged. Delete {location.removesuffix(SUMMARY)} and run again."
            ) from error

    def recipe_names(self) -> list[str]:
        """Names of the recipes whose source is known, sorted."""
        paths = map(PurePosixPath, self.files.sizes("recipes"))
        return sorted(str(path.parent) for path in paths if path.name == RECIPE_NOTE and len(path.parts) == 2)

    def recipe_note(self, recipe: str) -> dict[str, Any]:
        """What :meth:`set_recipe_note` wrote; empty where nothing, or nothing that can be read."""
        return as_note(lambda: self.files.read(f"recipes/{recipe}/{RECIPE_NOTE}"))

    def set_recipe_note(self, recipe: str, note: dict[str, Any]) -> None:
        """Write what the recipe of that name was loaded from."""
        self.files.write(f"recipes/{recipe}/{RECIPE_NOTE}", json.dumps(note, ensure_ascii=False).encode())

    def _pointer(self, recipe: str, noun: str) -> dict[str, Any]:
        name = f"recipes/{recipe}/{noun}.json"
        content = self.files.read(name)
        try:
            return dict(json.loads(content)) if content is not None else {}
        except (ValueError, TypeError) as error:
            raise StoreError(f"{self.files.location(name)} is damaged ({error}). Delete it and run again.") from error

    def _set_pointer(self, recipe: str, noun: str, value: dict[str, Any]) -> None:
        text = json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
        self.files.write(f"recipes/{recipe}/{noun}.json", text.encode())

    def _turn(self, folder: Path) -> Path:
        return self.root / "locks" / f"fetch-{folder.parent.name}-{folder.name}"

    def _machine(self) -> str:
        """What all processes that have this working folder have in common."""
        path = self.root / "machine"
        with in_turn(self.root / "locks" / "machine"):
            if not path.is_file():
                with whole_file(path) as scratch:
                    scratch.write_text(uuid4().hex, encoding="utf-8")
        return path.read_text(encoding="utf-8")


def _side_by_side(work: Callable[[str], object], names: Iterable[str]) -> None:
    """Do it for each name, a few at a time; the first error stops the rest."""
    pool = ThreadPoolExecutor(CONNECTIONS)
    try:
        for done in [pool.submit(work, name) for name in sorted(names)]:
            done.result()
    finally:
        pool.shutdown(cancel_futures=True)
