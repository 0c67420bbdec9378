"""A server that breaks off, sends what is no HTTP, or does not answer at all."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import pytest

from spn4cir_core.errors import InputError
from spn4cir_core.models.chat_client import ChatClient, NoAnswer, _retry_after_s
from tests.captions.raw_server import RawServer, raw_server

Send = Callable[[bytes], None]


def client(server: RawServer, timeout_s: float = 10, retries: int = 1) -> ChatClient:
    return ChatClient(server.url, "", timeout_s, retries, 0.01, 0.05)


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}\r\n".encode() + body


def said(text: str | None) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}}]}).encode()


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (b"", "connection_errors"),
        (b"HTTP/1.1 200", "malformed"),
        (b"\x16\x03\x01 this is TLS, or a game server", "connection_errors"),
        (http(said("red"), headers="Content-Length: 900\r\n"), "connection_errors"),
        (http(b"5\r\nab", headers="Transfer-Encoding: chunked\r\n"), "connection_errors"),
        (http(b"zz\r\nab", headers="Transfer-Encoding: chunked\r\n"), "connection_errors"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "connection_errors"),
        (http(b"[" * 200_000), "malformed"),
        (http(b'{"choices": ' + b"1" * 5000 + b"}"), "malformed"),
        (http(said("red").decode().encode("utf-16")[:-1]), "malformed"),
        (http(b"5\r\nab", "503 Busy", "Transfer-Encoding: chunked\r\n"), "server_errors"),
        (http(b"", "500 Oops", "Retry-After: Wed, 99 Foo 99999 07:28:00 GMT\r\n"), "server_errors"),
    ],
)
def test_a_broken_answer_is_tried_again_and_counted(answer: bytes, name: str) -> None:
    with raw_server(lambda send: send(answer)) as server:
        chat = client(server)
        with pytest.raises((InputError, NoAnswer), match=r"2 tries"):
            chat.ask({}, "x")
    assert (chat.counts[name], chat.counts["retries"], server.requests) == (2, 1, 2)


@pytest.mark.parametrize("status", ["500 Oops", "503 Busy", "400 Bad", "401 No"])
def test_a_failure_whose_words_never_come_is_that_failure(status: str) -> None:
    over = threading.Event()

    def stall(send: Send) -> None:
        send(http(b"half of the wo", status, "Content-Length: 9999\r\n"))
        over.wait(10)

    with raw_server(stall) as server:
        with pytest.raises((InputError, NoAnswer), match=f"status {status[:3]}"):
            client(server, timeout_s=0.3, retries=0).ask({}, "x")
        over.set()


@pytest.mark.parametrize("location", ["http://[", "ftp://x/", "http://127.0.0.1:9/", "\xff"])
def test_a_redirect_is_refused_wherever_it_leads(location: str) -> None:
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n".encode("latin-1")
    with raw_server(lambda send: send(head)) as server, pytest.raises(InputError, match="redirects are not followed"):
        client(server).ask({}, "x")
    assert server.requests == 1


def test_halves_of_characters_become_question_marks() -> None:
    body = b'{"choices": [{"message": {"content": "a \\ud83d dress \\ud83d\\ude00"}}]}'
    with raw_server(lambda send: send(http(body))) as server:
        assert client(server).ask({}, "x") == "a ? dress \N{GRINNING FACE}"


def test_stopping_breaks_off_the_requests_under_way() -> None:
    waiting, over = threading.Event(), threading.Event()

    def stall(send: Send) -> None:
        waiting.set()
        over.wait(30)

    with raw_server(stall) as server:
        chat, ended = client(server, timeout_s=30, retries=5), threading.Event()

        def ask() -> None:
            with pytest.raises(InputError, match="1 tries"):
                chat.ask({}, "x")
            ended.set()

        thread = threading.Thread(target=ask)
        thread.start()
        assert waiting.wait(10)
        started = time.monotonic()
        chat.stop()
        assert ended.wait(10) and time.monotonic() - started < 10
        with pytest.raises(InputError):
            chat.ask({}, "y")
        over.set()
        thread.join()


def test_a_date_to_retry_after_counts_from_the_servers_own_clock() -> None:
    then = "Wed, 21 Oct 2099 07:28:00 GMT"
    assert _retry_after_s(then, "Wed, 21 Oct 2099 07:27:30 GMT") == 30
    assert _retry_after_s(then, "Wed, 21 Oct 2099 08:00:00 GMT") == 0
    assert (_retry_after_s(then, "") or 0) > 10**6, "without one, this machine's clock has to do"
    for value in ("", "soon", "Mon, 01 Jan 0001 00:00:00 -0000", "Wed, 99 Oct 2099 07:28:00 GMT", "-5"):
        assert _retry_after_s(value, "") in (None, 0)
