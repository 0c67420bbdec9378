"""One writer per artefact among machines: a lock object beside the artefacts, with a sign of life.

No clock is compared: a holder is taken for dead when its object has not changed while somebody looked on.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from spn4cir_core.errors import StoreError, StoreLocked
from spn4cir_core.store.locks import SAY_EVERY_S, WHEN_LOCKED, when_locked
from spn4cir_core.store.remote_files import RemoteFiles

log = logging.getLogger(__name__)
BEAT_S = 15.0
LOOK_EVERY_S = 3.0
DEAD_AFTER_S = 90.0
RELEASE_S = 5.0


class RemoteLock:
    """A held lock; :meth:`check` raises once it has been lost."""

    def __init__(self, files: RemoteFiles, name: str, what: str, host: str) -> None:
        self.files, self.name, self.what, self.host = files, name, what, host
        self.owner = f"process {os.getpid()} on {platform.node()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
        self.token, self.beats = uuid4().hex, 0

    def take(self) -> None:
        """Wait until it is free, or its holder is dead.

        Raises:
            StoreLocked: another machine holds it, and ``SPN4CIR_WHEN_LOCKED`` is not ``wait``.
        """
        patience, reported_at = when_locked(), -SAY_EVERY_S
        seen: bytes | None = None
        since, changed = time.monotonic(), False
        while not self.files.create(self.name, self._content()):
            content = self.files.read(self.name)
            if content is None:
                continue
            if content != seen:
                changed, seen, since = _of(content, "token") == _of(seen, "token"), content, time.monotonic()
            if _of(content, "place") == self.host or time.monotonic() - since > DEAD_AFTER_S:
                self.files.delete(self.name)  # by a process of this machine that is gone, or by one long silent
                continue
            says = f"{self.what} is being written by another machine ({_of(content, 'owner')})"
            if changed and patience == "say":
                raise StoreLocked(
                    f"{says}; wait for it to end, or stop it. With {WHEN_LOCKED}=wait a run waits by itself."
                )
            if time.monotonic() - reported_at >= SAY_EVERY_S:
                log.warning("%s; looking for a sign of life", says)
                reported_at = time.monotonic()
            time.sleep(LOOK_EVERY_S)

    def check(self, patience_s: float | None = None) -> None:
        """Look whether it is still held.

        Raises:
            StoreError: another machine has taken this one for dead, and the lock away.
        """
        if _of(self.files.read(self.name, patience_s), "token") != self.token:
            raise StoreError(f"{self.what}: another machine has gone on with it while this one was silent; run again")

    def beat(self) -> None:
        """Give a sign of life, unless the lock was taken away."""
        self.check(0)
        self.beats += 1
        self.files.write(self.name, self._content(), 0)

    def release(self) -> None:
        """Give it back; what cannot be given back is free after a while."""
        with suppress(StoreError):
            self.check(RELEASE_S)
            self.files.delete(self.name, RELEASE_S)

    def _content(self) -> bytes:
        details = {"owner": self.owner, "place": self.host, "token": self.token, "beats": self.beats}
        return json.dumps(details).encode()


@contextmanager
def remote_lock(files: RemoteFiles, name: str, what: str, host: str) -> Iterator[RemoteLock]:
    """Hold a lock among machines.

    Args:
        host: identifies the machine, among whose processes a lock of the operating system decides.
    """
    lock, ended = RemoteLock(files, name, what, host), threading.Event()
    lock.take()
    beating = threading.Thread(target=_beat, args=(lock, ended), daemon=True)
    beating.start()
    try:
        yield lock
    finally:
        ended.set()
        beating.join()
        lock.release()


def _beat(lock: RemoteLock, ended: threading.Event) -> None:
    while not ended.wait(BEAT_S):
        try:
            lock.beat()
        except StoreError as error:
            log.warning("%s", error)


def _of(content: bytes | None, key: str) -> str:
    try:
        return str(json.loads(content or b"{}").get(key, ""))
    except (ValueError, AttributeError):
        return ""
