"""A server on the loopback address that sends whatever bytes it is told to, HTTP or not, and hangs up."""

from __future__ import annotations

import socketserver
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.captions.chat_server import in_the_background


class RawServer(socketserver.ThreadingTCPServer):
    """Reads a request's head and body, calls ``answer(send)``, and closes the connection."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, answer: Callable[[Callable[[bytes], None]], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(socketserver.StreamRequestHandler):
    server: RawServer
    timeout = 20

    def handle(self) -> None:
        length = 0
        with suppress(OSError):
            for line in iter(self.rfile.readline, b"\r\n"):
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
                if not line:
                    return
            self.rfile.read(length)
            self.server.requests += 1
            self.server.answer(self.wfile.write)


@contextmanager
def raw_server(answer: Callable[[Callable[[bytes], None]], None]) -> Iterator[RawServer]:
    """A server for the length of the block."""
    with RawServer(answer) as server, in_the_background(server):
        yield server
