"""Whatever a server sends: an answer that can be stored, or an error that says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spn4cir_core.captions.endpoint import Endpoint
from spn4cir_core.errors import Spn4cirError
from spn4cir_core.models.chat_client import ChatClient, NoAnswer
from spn4cir_core.models.chat_model import Unusable
from spn4cir_core.texts.answers import AnswerCheck, clean
from tests.captions.raw_server import RawServer, raw_server
from tests.fuzz.inputs import bent, damaged, fuzzed

COMPLETION = {"id": "1", "choices": [{"index": 0, "message": {"role": "assistant", "content": "a red dress"}}]}
BODY = json.dumps(COMPLETION).encode()
HEADS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY),
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n",
    b"HTTP/1.1 429 Slow\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\nDate: Wed, 21 Oct 2026 07:27:00 GMT\r\n\r\n",
    b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:9/v2\r\n\r\n",
)
CHUNKED = b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsorry\r\n0\r\n\r\n"
ENDPOINT = Endpoint(base_url="http://127.0.0.1:9/v1", model="m")
CHECK = AnswerCheck(lambda text: len(text.split()), 40, names_target=True)


@pytest.fixture(scope="module")
def server() -> Iterator[RawServer]:
    with raw_server(lambda send: None) as started:
        yield started


def ask(server: RawServer, answer: bytes) -> None:
    server.answer = lambda send: send(answer)
    try:
        text = ChatClient(server.url, "key", 5, 0, 0, 0).ask({"model": "m"}, "seed")
        text.encode()
        ENDPOINT.usable(text).encode()
        CHECK.problem(clean(text), "a blue dress", "a red dress").encode()
    except (Spn4cirError, NoAnswer, Unusable) as error:
        assert str(error)


def test_damaged_answers(server: RawServer) -> None:
    @fuzzed
    @given(damaged([*(head + BODY for head in HEADS), CHUNKED]))
    def attempt(answer: bytes) -> None:
        ask(server, answer)

    attempt()


def test_answers_of_another_structure(server: RawServer) -> None:
    @fuzzed
    @given(bent(COMPLETION))
    def attempt(value: Any) -> None:
        ask(server, HEADS[1] + json.dumps(value).encode())

    attempt()


def test_texts_of_any_kind(server: RawServer) -> None:
    @fuzzed
    @given(st.text(st.characters(codec=None), max_size=60))
    def attempt(text: str) -> None:
        message = {"choices": [{"message": {"content": text}}]}
        ask(server, HEADS[1] + json.dumps(message).encode())

    attempt()
