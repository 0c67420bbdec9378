"""One writer per artefact: the lock file, its holder and age, and whether the next writer waits or stops."""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, cast

from spn4cir_core.errors import StoreError, StoreLocked

log = logging.getLogger(__name__)
WHEN_LOCKED = "SPN4CIR_WHEN_LOCKED"
LOOK_EVERY_S = 0.5
SAY_EVERY_S = 60.0


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold an exclusive lock that ends with the process, however it ends.

    Raises:
        StoreLocked: another process holds it, and the environment variable ``SPN4CIR_WHEN_LOCKED`` is not ``wait``;
            a StoreError where that variable is neither ``say`` nor ``wait``.
    """
    patience = when_locked()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as stream:
        reported_at = -SAY_EVERY_S
        while not _taken(stream):
            says = f"{what} is being written by another process ({_owner(stream)})"
            if patience == "say":
                raise StoreLocked(
                    f"{says}; wait for it to end, or stop it. With {WHEN_LOCKED}=wait a run waits by itself."
                )
            if time.monotonic() - reported_at >= SAY_EVERY_S:
                log.warning("%s; waiting for it to end", says)
                reported_at = time.monotonic()
            time.sleep(LOOK_EVERY_S)
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {platform.node()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        stream.flush()
        yield


@contextmanager
def in_turn(path: Path) -> Iterator[None]:
    """Let the processes and threads of this machine do something short one after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def when_locked() -> Literal["say", "wait"]:
    """Read from the environment what a process does when an artefact is locked; the default is to stop."""
    setting = os.environ.get(WHEN_LOCKED) or "say"
    if setting in ("say", "wait"):
        return cast(Literal["say", "wait"], setting)
    raise StoreError(f"{WHEN_LOCKED}={setting!r}: it is 'say' (stop with a message) or 'wait'")


def _taken(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(stream: IO[str]) -> str:
    """The holder and how long it has held; a clock that was set back counts as no time."""
    stream.seek(0)
    owner = stream.read().strip()
    held = max(0.0, time.time() - os.fstat(stream.fileno()).st_mtime)
    return f"{owner}, for {_duration(held)}" if owner else "unknown"


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{int(seconds)} s"
    if minutes < 60:
        return f"{minutes} min"
    days, hours = divmod(minutes // 60, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes % 60} min"
