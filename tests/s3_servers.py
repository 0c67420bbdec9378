"""A real S3 server on loopback, machines that keep their store on it, and a bad line to it."""

from __future__ import annotations

import logging
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.store.remote_files import RemoteFiles
from spn4cir_core.store.remote_store import RemoteStore, open_store

SECRET = "wJalrXUtnFEMI-not-for-anyone"
CHUNK_BYTES = 1 << 14


@contextmanager
def s3_server() -> Iterator[int]:
    """The port of moto's server, for the length of the block."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield int(server.get_host_and_port()[1])
    finally:
        server.stop()


class Cloud:
    """A prefix of its own in a bucket; each machine has a working folder of its own."""

    def __init__(self, port: int, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self.patch = root, patch
        self.url = f"s3://bucket/{root.name}"
        for name, value in {
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
            "SPN4CIR_STORE_PATIENCE_S": "60",
        }.items():
            patch.setenv(name, value)
        self.through(port)

    def through(self, port: int) -> None:
        """Reach the server by this port from now on."""
        from s3fs import S3FileSystem

        self.patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        S3FileSystem.clear_instance_cache()

    def machine(self, name: str = "one") -> RemoteStore:
        self.patch.setenv("SPN4CIR_CACHE", str(self.root / name))
        store = open_store(self.url)
        assert isinstance(store, RemoteStore)
        return store

    def files(self) -> dict[str, bytes]:
        remote = RemoteFiles(self.url)
        system, root = remote._opened
        return {name.removeprefix(f"{root}/"): system.cat_file(name) for name in system.find(root)}


class BadLine:
    """A proxy that cuts connections off after a random number of bytes, or is down, or stops amid a body.

    ``cuts``: of each connection the chance to be cut. ``down``: every connection is closed at once, those that are
    there as well. ``stalls_after``: bytes, over all connections, after which nothing passes any more.
    """

    def __init__(self, port: int, seed: int = 0, cuts: float = 0.0, reach: int = 60_000) -> None:
        self.target, self.draw, self.cuts, self.reach = port, random.Random(seed), cuts, reach
        self.down, self.stalls_after, self.passed, self.cut = False, float("inf"), 0, 0
        self.stalled = threading.Event()
        self._open: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> BadLine:
        return self

    def __exit__(self, *_: Any) -> None:
        self._listening.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Cut whatever is open."""
        for end in list(self._open):
            _close(end)

    def fail(self) -> None:
        """Be down from now on."""
        self.down = True
        self.hang_up()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                if self.down:
                    _close(client)
                    continue
                left = self.draw.randrange(self.reach) if self.draw.random() < self.cuts else None
                server = socket.create_connection(("127.0.0.1", self.target))
                ends = Ends(client, server, left)
                self._open |= {client, server}
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(source, sink, ends), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, ends: Ends) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                self.passed += len(data)
                if self.passed > self.stalls_after:
                    self.stalled.set()
                    threading.Event().wait(30)
                if ends.left is not None:
                    data, ends.left = data[: ends.left], ends.left - len(data)
                sink.sendall(data)
                if ends.left is not None and ends.left <= 0:
                    self.cut += 1
                    break
        for end in (ends.client, ends.server):
            _close(end)
            self._open.discard(end)


class Ends:
    """The two ends of a connection, and how many bytes may still pass; None: any number."""

    def __init__(self, client: socket.socket, server: socket.socket, left: int | None) -> None:
        self.client, self.server, self.left = client, server, left


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
