"""Messages of launched processes to their launcher: progress, log messages and errors.

All lies in one folder, which the launching process makes and removes::

    recipe.json      what to run, complete and validated
    messages         a named pipe: one JSON object per line
    error-*.json     one per failed process; the name holds the time, so the first is the cause of the rest
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spn4cir_core import errors
from spn4cir_core.engine.progress import Progress
from spn4cir_core.errors import LaunchError, ProcessLost, Spn4cirError
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.whole_file import read_json, write_json

RECIPE, MESSAGES = "recipe.json", "messages"
PEER_DIED_MESSAGES = (
    "Connection closed by peer",
    "Connection reset by peer",
    "DistNetworkError",
    "remote process exited",
)
"""Fragments of the errors of gloo and NCCL after another process has died."""
LINE_BYTES = 4000
"""A pipe takes lines up to 4,096 bytes whole, also from several processes at once."""


class LaunchFolder:
    """The folder of one launch, seen from either side."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    @contextmanager
    def made(cls, recipe: Recipe) -> Iterator[LaunchFolder]:
        """A new folder that holds the recipe; removed at the end."""
        with tempfile.TemporaryDirectory(prefix="spn4cir-launch-") as name:
            folder = cls(Path(name))
            write_json(folder.recipe_file, recipe.model_dump(mode="json"))
            os.mkfifo(folder.path / MESSAGES)
            yield folder

    @property
    def recipe_file(self) -> Path:
        """The value of a worker's ``--recipe``."""
        return self.path / RECIPE

    def writer(self) -> MessageWriter:
        """The writing end of the messages, for a launched process."""
        return MessageWriter(self.path / MESSAGES)

    @contextmanager
    def passed_on(self, progress: Progress) -> Iterator[None]:
        """Pass on progress and log messages for the length of the block."""
        # Opened for both, so that neither opening nor reading waits for a process that never starts.
        with os.fdopen(os.open(self.path / MESSAGES, os.O_RDWR), "r+b", buffering=0) as pipe:
            reader = threading.Thread(target=_pass_on, args=(pipe.fileno(), progress), daemon=True)
            reader.start()
            try:
                yield
            finally:
                pipe.write(b"\n")
                reader.join()

    def record(self, error: Exception, rank: int) -> None:
        """Write the error of this process to the folder."""
        known = isinstance(error, Spn4cirError)
        says = str(error) if known else traceback.format_exc().strip()
        details = {"kind": type(error).__name__ if known else "", "says": says, "rank": rank}
        write_json(self.path / f"error-{time.monotonic_ns():020d}-{rank}.json", details)  # one clock for all processes

    def first_error(self) -> Spn4cirError | None:
        """The first of the recorded errors, of the class it had; one that users cannot act on is a LaunchError."""
        files = sorted(self.path.glob("error-*.json"))
        if not files:
            return None
        details: Mapping[str, Any] = read_json(files[0])
        if not details["kind"]:
            if any(words in details["says"] for words in PEER_DIED_MESSAGES):
                return ProcessLost(
                    "one of the processes was ended from outside, perhaps killed for want of memory. Finished shards "
                    "and checkpoints are kept; run again to go on. What process "
                    f"{details['rank']} noticed: {details['says'].splitlines()[-1]}"
                )
            return LaunchError(f"process {details['rank']} failed:\n{details['says']}")
        kind = getattr(errors, details["kind"], Spn4cirError)
        return Spn4cirError(details["says"]) if kind is errors.MissingExtra else kind(details["says"])


class MessageWriter(logging.Handler):
    """Writes progress, and as a log handler messages; never waits for a slow or missing reader."""

    def __init__(self, pipe: Path) -> None:
        super().__init__()
        self._pipe = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)

    def __call__(self, label: str, done: int, total: int) -> None:
        """Write the progress of the labelled work; see :class:`Progress`."""
        self._write({"label": label, "done": done, "total": total})

    def emit(self, record: logging.LogRecord) -> None:
        """Write a log record."""
        self._write({"logger": record.name, "level": record.levelno, "says": record.getMessage()[: LINE_BYTES // 4]})

    def _write(self, message: dict[str, Any]) -> None:
        line = json.dumps(message).encode() + b"\n"
        try:
            os.write(self._pipe, line[:LINE_BYTES])
        except BlockingIOError:
            time.sleep(0.01)  # the reader is behind; the next message supersedes this one


def _pass_on(pipe: int, progress: Progress) -> None:
    """Read lines until an empty one."""
    with os.fdopen(os.dup(pipe), "rb") as stream:
        for line in iter(stream.readline, b"\n"):
            message = json.loads(line)
            if "label" in message:
                progress(message["label"], message["done"], message["total"])
            else:
                logging.getLogger(message["logger"]).log(message["level"], "%s", message["says"])
