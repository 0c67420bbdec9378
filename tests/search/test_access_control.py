"""Refusals and limits as a client on a real connection sees them."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from spn4cir_core.search.service import SearchService

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from tests.search.serving import served


def connected(address: str) -> socket.socket:
    split = urlsplit(address)
    return socket.create_connection((str(split.hostname), int(split.port or 80)), 120)


def read_to_the_end(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.mark.parametrize("expected", [b"", b"Expect: 100-continue\r\n"], ids=["sends all", "asks first"])
def test_who_sends_all_of_a_too_large_upload_reads_why_it_is_refused(service: SearchService, expected: bytes) -> None:
    size = 40_000_000  # more than the buffers of a connection hold
    head = b"POST /api/search HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %d\r\n\r\n" % (expected, size)
    with served(service) as address, connected(address) as client:
        client.sendall(head)
        if not expected:
            client.sendall(bytes(size))
        client.shutdown(socket.SHUT_WR)
        answer = read_to_the_end(client)
    assert answer.startswith(b"HTTP/1.1 413 ") and b"this is 40.0 MB" in answer
