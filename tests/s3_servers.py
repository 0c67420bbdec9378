"""A real S3 server on loopback, and a bad line to it."""

from __future__ import annotations

import logging
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

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
