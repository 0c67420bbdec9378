"""Files behind a URL (S3 and other fsspec file systems), with retries when a connection is cut."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from spn4cir_core.errors import MissingExtra, StoreError, StoreUnreachable
from spn4cir_core.store.artifacts import UNWRITABLE
from spn4cir_core.store.whole_file import whole_file

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")
PATIENCE = "SPN4CIR_STORE_PATIENCE_S"
PATIENCE_S = 300.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 20.0
ANSWERS = (FileNotFoundError, FileExistsError)
"""Errors that a reachable server returns and that a retry does not change."""
REFUSALS = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError")


@dataclass(frozen=True)
class RemoteFiles:
    """The files below one URL. Credentials come from the environment alone, as the protocol's package reads it.

    A file must be there whole or not at all, as object stores have it.

    Raises:
        StoreUnreachable: by every method: the server does not answer for as long as ``SPN4CIR_STORE_PATIENCE_S`` says
            (300 without it).
        StoreError: by every method: it refuses the credentials, or has no such bucket.
    """

    url: str

    def __post_init__(self) -> None:
        if urlsplit(self.url).password is not None or "?" in self.url or "#" in self.url:
            protocol = self.url.partition("://")[0]
            raise StoreError(
                f"the store's URL ({protocol}://…) holds a password or options; credentials come from the environment"
            )

    def __reduce__(self) -> tuple[type[RemoteFiles], tuple[str]]:
        return RemoteFiles, (self.url,)  # another process opens connections of its own

    def location(self, name: str) -> str:
        """The URL of one file."""
        return f"{self.url}/{name}"

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        protocol = urlsplit(self.url).scheme
        try:
            system, root = url_to_fs(self.url, use_listings_cache=False)
        except ImportError as error:
            if protocol in ("s3", "s3a"):
                raise MissingExtra("s3fs", "s3") from error
            raise StoreError(f"{self.url} needs a package that is not installed: {error}") from error
        except ValueError as error:
            raise StoreError(
                f"{self.url} is not a store: {error}; name a folder, or a URL like s3://bucket/prefix"
            ) from error
        return system, str(root).rstrip("/")

    def read(self, name: str, patience_s: float | None = None) -> bytes | None:
        """The bytes of a small file, or None where there is none."""
        try:
            return bytes(self._request(name, lambda system, path: system.cat_file(path), patience_s))
        except FileNotFoundError:
            return None

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        try:
            self._request(name, lambda system, path: system.info(path))
        except FileNotFoundError:
            return False
        return True

    def sizes(self, folder: str, patience_s: float | None = None) -> dict[str, int]:
        """Bytes of every file below a folder, by its name relative to the folder."""

        def listed(system: Any, path: str) -> dict[str, Any]:
            return dict(system.find(path, detail=True))

        try:
            entries = self._request(folder, listed, patience_s)
        except FileNotFoundError:
            return {}
        top = f"{self._opened[1]}/{folder}/".lstrip("/")
        inside = {name.lstrip("/"): about for name, about in entries.items() if name.lstrip("/").startswith(top)}
        return {name.removeprefix(top): int(about["size"]) for name, about in inside.items()}

    def write(self, name: str, data: bytes, patience_s: float | None = None) -> None:
        """Write a small file, whole or not at all."""
        self._sent(name, lambda system, path: system.pipe_file(path, data), patience_s)

    def create(self, name: str, data: bytes) -> bool:
        """Write a small file where there is none; returns whether it was this call that did so."""
        try:
            self._sent(name, lambda system, path: system.pipe_file(path, data, mode="create"))
        except FileExistsError:
            return self.read(name) == data  # an earlier try, whose answer was cut off
        return True

    def delete(self, name: str, patience_s: float | None = None) -> None:
        """Delete a file, if it is there."""
        try:
            self._request(name, lambda system, path: system.rm_file(path), patience_s)
        except FileNotFoundError:
            return

    def send(self, path: Path, name: str, patience_s: float | None = None) -> None:
        """Upload a file, whole or not at all."""
        self._sent(name, lambda system, location: system.put_file(str(path), location), patience_s)

    def copy(self, source: str, name: str) -> bool:
        """Copy a file, whole or not at all, behind the URL: its bytes do not pass this machine.

        Returns:
            False where there is no such file, or the protocol cannot copy.
        """
        try:
            self._request(name, lambda system, location: system.cp_file(f"{self._opened[1]}/{source}", location))
        except (FileNotFoundError, NotImplementedError):
            return False
        return True

    def fetch(self, name: str, path: Path, check: Callable[[Path], None]) -> None:
        """Download a file to ``path``; it is there whole and checked, or not at all.

        Raises:
            StoreError: there is no such file, or this machine cannot keep it.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as scratch:
                self._request(name, lambda system, location: system.get_file(location, str(scratch)))
                check(scratch)
        except FileNotFoundError as error:
            raise StoreError(f"{self.location(name)} is gone; run again, which makes it anew") from error
        except OSError as error:
            raise StoreError(
                f"cannot keep {self.location(name)} at {path}: {error}; make room and run again"
            ) from error

    def _sent(self, name: str, ask: Callable[[Any, str], object], patience_s: float | None = None) -> None:
        try:
            self._request(name, ask, patience_s)
        except FileNotFoundError as error:
            raise StoreError(
                f"cannot write {self.location(name)}: {error}. Make the bucket, or name another one"
            ) from error

    def _request(self, name: str, ask: Callable[[Any, str], Answer], patience_s: float | None = None) -> Answer:
        """Ask until there is an answer, with longer and longer pauses."""
        system, root = self._opened
        patience_s = patience() if patience_s is None else patience_s
        started, pause_s = time.monotonic(), FIRST_PAUSE_S
        while True:
            try:
                return ask(system, f"{root}/{name}")
            except Exception as error:  # each protocol has errors of its own
                if isinstance(error, ANSWERS) or not _of_the_connection(error):
                    raise
                if _refused(error):
                    raise StoreError(
                        f"{self.url} refuses: {error}. Check the credentials in the environment, the endpoint "
                        "(AWS_ENDPOINT_URL) and what they may do there; run again"
                    ) from error
                waited = time.monotonic() - started
                if waited + pause_s > patience_s:
                    raise StoreUnreachable(
                        f"{self.location(name)} does not answer ({_shortened(error)}), asked for {waited:.0f} s. "
                        "Nothing half-written is used, and what was computed is kept on this machine: check the "
                        f"network and the server and run again. {PATIENCE} says how long a run keeps asking"
                    ) from error
                if pause_s == FIRST_PAUSE_S:
                    log.warning("%s does not answer (%s); asking again", self.location(name), _shortened(error))
                time.sleep(pause_s * random.uniform(0.5, 1))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def patience() -> float:
    """Seconds for which requests to a server that does not answer are repeated."""
    given = os.environ.get(PATIENCE) or str(PATIENCE_S)
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise StoreError(f"{PATIENCE}={given!r} is not a number of seconds")
    return seconds


def _of_the_connection(error: Exception) -> bool:
    """Errors of client libraries and of sockets; not faults of the program, nor a full disk of this machine."""
    if isinstance(error, OSError):
        return error.errno not in UNWRITABLE
    return isinstance(error, EOFError) or type(error).__module__ != "builtins"


def _refused(error: Exception) -> bool:
    return isinstance(error, PermissionError) or type(error).__name__ in REFUSALS


def _shortened(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
