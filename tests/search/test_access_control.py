"""Refusals and limits as a client on a real connection sees them."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from spn4cir_core.search import access_control
from spn4cir_core.search.service import SearchService

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from spn4cir_core.search import connection
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
        answer = b""
        while not answer.endswith(b"}") and (part := client.recv(65536)):
            answer += part
    assert answer.startswith(b"HTTP/1.1 413 ") and b"this is 40.0 MB" in answer


@pytest.mark.parametrize("length", [1000, 40_000_000], ids=["accepted", "refused"])
def test_a_body_that_is_half_sent_has_a_time_limit(
    service: SearchService, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setattr(access_control, "BODY_SECONDS", 0.2)
    head = b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n" % length
    with served(service) as address, connected(address) as client:
        client.sendall(head + b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n")
        answer = read_to_the_end(client)
    status, says = (408, b"not sent within 0.2 seconds") if length == 1000 else (413, b"this is 40.0 MB")
    assert answer.startswith(b"HTTP/1.1 %d " % status) and says in answer


def test_headers_that_are_half_sent_have_a_time_limit(service: SearchService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEADER_SECONDS", 0.2)
    with served(service) as address, connected(address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: local")
        assert read_to_the_end(client) == b""


def test_so_have_those_of_a_second_request(service: SearchService, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(service) as address, connected(address) as client:
        client.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += client.recv(1)
        assert answer.startswith(b"HTTP/1.1 200 ")
        monkeypatch.setattr(connection, "HEADER_SECONDS", 0.2)
        client.sendall(b"GET / HTTP/1.1\r\nHost: local")
        assert read_to_the_end(client) == b""
