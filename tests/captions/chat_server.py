"""A real server that speaks the chat protocol on the loopback address, and answers as a test has it."""

from __future__ import annotations

import base64
import json
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image


@dataclass
class Reply:
    """What the server sends: bytes, an iterator of bytes, or an object as JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def say(text: str | None) -> Reply:
    """A chat completion."""
    return Reply({"id": "1", "object": "chat.completion", "choices": [{"index": 0, "message": {"content": text}}]})


def picture_of(body: Any) -> Image.Image:
    """The picture that a request carries."""
    uri = body["messages"][0]["content"][0]["image_url"]["url"]
    assert uri.startswith("data:image/jpeg;base64,")
    return Image.open(BytesIO(base64.b64decode(uri.partition(",")[2])))


def look(body: Any) -> Reply:
    """Describe the picture: its mean colour."""
    red, green, blue = np.asarray(picture_of(body).convert("RGB")).reshape(-1, 3).mean(0).round(2)
    return say(f" A picture of {red} red, {green} green\nand {blue} blue. ")


class ChatServer(ThreadingHTTPServer):
    """Answers request ``number`` (from 0) with ``reply(number, body)``."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, reply: Callable[[int, Any], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply
        self.bodies: list[Any] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer
    timeout = 20

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            number = len(self.server.bodies)
            self.server.bodies.append(body)
            self.server.paths.append(self.path)
            self.server.keys.append(self.headers.get("Authorization"))
        reply = self.server.reply(number, body)
        pieces = reply.body
        if not isinstance(pieces, Iterator):
            pieces = iter([pieces if isinstance(pieces, bytes) else json.dumps(pieces).encode()])
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in pieces:
            self.wfile.write(piece)

    def log_message(self, *args: Any) -> None:
        """Not among the tests' output."""


@contextmanager
def in_the_background(server: socketserver.BaseServer) -> Iterator[None]:
    """Answer requests for the length of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def serving(reply: Callable[[int, Any], Reply] = lambda number, body: look(body)) -> Iterator[ChatServer]:
    """A server for the length of the block."""
    with ChatServer(reply) as server, in_the_background(server):
        yield server
