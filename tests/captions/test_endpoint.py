from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from spn4cir_core.captions.endpoint import Endpoint
from spn4cir_core.captions.stage import FAILED
from spn4cir_core.errors import InputError, RecipeError
from spn4cir_core.models.chat_client import ChatClient
from tests.captions.chat_server import ChatServer, Reply, look, picture_of, say, serving
from tests.captions.conftest import Pictures
from tests.captions.test_stage import folder_of, recipe, run

FAST: dict[str, Any] = {"model": "llava", "first_wait_s": 0.01, "timeout_s": 10}
KEY = "sk-very-secret-0123456789"
OVERLOADED = Reply({"error": {"message": "too many requests"}}, 429, {"Retry-After": "0"})


def ask(server: ChatServer, pictures: Pictures, count: int = 1, **settings: Any) -> tuple[list[str | None], Any]:
    """Captions of the first pictures, and what was counted."""
    caption = Endpoint(base_url=server.url, **{**FAST, **settings}).start(pictures.files)
    return caption(pictures.images[:count], pictures.open()[:count]), dict(caption.counts)  # type: ignore[attr-defined]


def test_the_request_holds_picture_prompt_and_settings(pictures: Pictures) -> None:
    with serving() as server:
        captioner = Endpoint(base_url=server.url + "/", max_side_px=20, words=5, extra_body={"seed": 7}, **FAST)
        image = replace(pictures.images[0], category="dress")
        answer = captioner.start(pictures.files)([image], [Image.new("RGB", (400, 100), "#4080c0")])
    body = server.bodies[0]
    assert server.paths == ["/v1/chat/completions"] and server.keys == [None]
    assert picture_of(body).size == (20, 5)
    assert body["messages"][0]["content"][1]["text"] == "Please briefly describe the dress in 5 words."
    assert {key: value for key, value in body.items() if key != "messages"} == {
        "model": "llava",
        "max_tokens": 60,
        "temperature": 0,
        "stream": False,
        "seed": 7,
    }
    assert answer == ["A picture of 64.0 red, 128.0 green and 192.0 blue"]


def test_pictures_are_asked_for_side_by_side_and_answered_in_order(pictures: Pictures) -> None:
    together = threading.Barrier(3, timeout=10)

    def reply(number: int, body: Any) -> Reply:
        together.wait()  # breaks unless three requests are there at once
        return look(body)

    with serving(reply) as server:
        answers, counts = ask(server, pictures, 9, concurrency=3)
    with serving() as server:
        assert answers == ask(server, pictures, 9, concurrency=1)[0]
    assert len(set(answers)) == 9 and counts["requests"] == counts["pictures"] == 9


def test_an_overloaded_server_is_asked_again_after_the_time_it_names(pictures: Pictures) -> None:
    times = []

    def reply(number: int, body: Any) -> Reply:
        times.append(time.monotonic())
        return replace(OVERLOADED, headers={"Retry-After": "0.3"}) if number == 0 else look(body)

    with serving(reply) as server:
        answers, counts = ask(server, pictures)
    assert answers[0] and counts["retries"] == counts["rate_limited"] == 1
    assert times[1] - times[0] >= 0.3, "asked too early"


def test_failing_requests_are_tried_again(pictures: Pictures) -> None:
    broken = [Reply(b"oops", 500), Reply(b"<html>bad gateway</html>", 502), Reply(b"{}"), Reply(b"not json")]
    with serving(lambda number, body: broken[number] if number < len(broken) else look(body)) as server:
        answers, counts = ask(server, pictures)
    assert answers[0] and {key: counts[key] for key in ("requests", "retries", "server_errors", "malformed")} == {
        "requests": 5,
        "retries": 4,
        "server_errors": 2,
        "malformed": 2,
    }


def test_a_request_that_takes_too_long_is_tried_again(pictures: Pictures) -> None:
    over = threading.Event()

    def reply(number: int, body: Any) -> Reply:
        if number == 0:
            over.wait(10)
        return look(body)

    with serving(reply) as server:
        answers, counts = ask(server, pictures, timeout_s=0.3)
        over.set()
    assert answers[0] and counts["time_outs"] == counts["retries"] == 1


def test_an_answer_that_trickles_or_never_ends_is_given_up(pictures: Pictures) -> None:
    def trickle() -> Iterator[bytes]:
        for _ in range(200):
            time.sleep(0.05)
            yield b" "

    with serving(lambda number, body: Reply(trickle()) if number == 0 else look(body)) as server:
        answers, counts = ask(server, pictures, timeout_s=0.4)
    assert answers[0] and counts["time_outs"] == 1
    with serving(lambda number, body: Reply(repeat(b" " * 100_000)) if number == 0 else look(body)) as server:
        answers, counts = ask(server, pictures)
    assert answers[0] and counts["malformed"] == 1


GARBAGE = {
    "malformed": [b"not json", b"[]", {"choices": []}, {"choices": [{"message": {"content": [1]}}]}, {"error": "x"}],
    "empty": [{"choices": [{"message": {"content": None}}]}, {"choices": [{"message": {"content": " .\n"}}]}],
    "overlong": [{"choices": [{"message": {"content": "very " * 500}}]}],
}


@pytest.mark.parametrize(("name", "body"), [(name, body) for name, bodies in GARBAGE.items() for body in bodies])
def test_garbage_is_no_caption_and_is_counted(name: str, body: Any, pictures: Pictures) -> None:
    with serving(lambda number, request: Reply(body)) as server:
        answers, counts = ask(server, pictures, retries=1)
    assert answers == [None]
    assert counts[name] == counts["requests"] == (2 if name == "malformed" else 1), "silence is not asked for twice"


def test_one_picture_that_the_server_refuses_leaves_the_others(pictures: Pictures) -> None:
    with serving(lambda number, body: Reply(b"no such picture", 400) if number == 1 else look(body)) as server:
        answers, counts = ask(server, pictures, 4, concurrency=1)
    assert [bool(answer) for answer in answers] == [True, False, True, True]
    assert counts["refused"] == 1 and counts["requests"] == 4


def test_many_failures_in_a_row_are_an_error_and_scattered_ones_are_not(pictures: Pictures) -> None:
    settings = {"concurrency": 1, "max_failures_in_a_row": 3}
    with serving(lambda number, body: look(body) if number % 3 == 0 else say("")) as server:
        answers, _ = ask(server, pictures, 9, **settings)
    assert [bool(answer) for answer in answers] == [True, False, False] * 3
    with (
        serving(lambda number, body: look(body) if number == 0 else say("")) as server,
        pytest.raises(InputError, match=r"3 pictures in a row.*chat/completions; the last: an empty answer"),
    ):
        ask(server, pictures, 4, **settings)


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "api_key_env"), (403, "api_key_env"), (404, "base_url and model"), (302, "redirects")]
)
def test_a_refusal_of_all_is_an_error_at_once(status: int, hint: str, pictures: Pictures) -> None:
    refusal = Reply(b"go away", status, {"Location": "http://127.0.0.1:9/"})
    with serving(lambda number, body: refusal) as server, pytest.raises(InputError, match=rf"status {status}.*{hint}"):
        ask(server, pictures)
    assert len(server.bodies) == 1


def test_a_server_that_stays_down_is_named(pictures: Pictures) -> None:
    with serving() as server:
        pass
    with pytest.raises(InputError, match=rf"{server.url}/chat/completions is down .*3 tries.*base_url"):
        ask(server, pictures, 3, retries=2)
    with serving(lambda number, body: OVERLOADED) as server, pytest.raises(InputError, match="too many requests"):
        ask(server, pictures, retries=1)
    patient = replace(OVERLOADED, headers={"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"})
    with serving(lambda number, body: patient) as server, pytest.raises(InputError, match=r"1 tries.*asks to wait \d+"):
        ask(server, pictures)


def test_the_key_goes_to_the_server_and_nowhere_else(
    tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CAPTION_KEY", f"{KEY}\n")
    caplog.set_level(logging.DEBUG)

    def reply(number: int, body: Any) -> Reply:
        return Reply(f"your key {KEY} is bad".encode(), 400) if number == 0 else look(body)

    with serving(reply) as server:
        table = {"kind": "endpoint", "base_url": server.url, "api_key_env": "CAPTION_KEY", **FAST}
        artifact, _ = run(
            recipe(folder_of(pictures, tmp_path / "in", range(3)), table), pictures.store(tmp_path / "store")
        )
        caption = Endpoint(base_url=server.url, api_key_env="CAPTION_KEY", **FAST).start(pictures.files)
        server.reply = lambda number, body: Reply(f"your key {KEY} is bad".encode(), 401)
        with pytest.raises(InputError, match=r"your key \*\*\* is bad"):
            caption(pictures.images[:1], pictures.open()[:1])
    assert set(server.keys) == {f"Bearer {KEY}"}
    assert artifact.summary["drops"] == {FAILED: 1}
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written and not any(KEY.encode() in path.read_bytes() for path in written)
    assert "***" in caplog.text and KEY not in caplog.text


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("CAPTION_KEY", "", "CAPTION_KEY"), (KEY, "x", "must be the name"), ("CAPTION_KEY", "a\nb", "no HTTP header")],
)
def test_a_bad_key_is_an_error_that_does_not_repeat_it(
    name: str, value: str, message: str, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert "secret" not in repr(ChatClient("http://h", "secret", 1, 1, 1, 1))
    with pytest.raises(InputError, match=message) as caught:
        Endpoint(base_url="http://127.0.0.1:9/v1", model="m", api_key_env=name).start(pictures.files)
    assert KEY not in str(caught.value) and "a\nb" not in str(caught.value)


def test_fingerprint_is_that_of_model_and_request_not_of_the_place(pictures: Pictures) -> None:
    def fingerprint(**settings: Any) -> str:
        return Endpoint(**{"base_url": "http://here/v1", "model": "m", **settings}).fingerprint(pictures.files)

    same = [
        {"base_url": "https://there:1/v2"},
        {"api_key_env": "K"},
        {"concurrency": 1},
        {"timeout_s": 1},
        {"words": 3},
    ]
    assert {fingerprint(**settings) for settings in same} == {fingerprint()}
    other = [{"model": "n"}, {"revision": "2"}, {"max_side_px": 99}, {"extra_body": {"seed": 1}}, {"max_tokens": 9}]
    assert len({fingerprint(), *(fingerprint(**settings) for settings in other)}) == 6


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "localhost:8000"},
        {"base_url": "file:///etc/passwd"},
        {"base_url": "http://user:pass@host/v1"},
        {"base_url": "http://host/v1?key=1"},
        {"extra_body": {"messages": []}},
        {"model": ""},
    ],
)
def test_bad_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=next(iter(settings))):
        recipe({"kind": "shapes"}, {"kind": "endpoint", "base_url": "http://h/v1", "model": "m", **settings})


def test_failed_pictures_are_asked_for_again_and_the_others_are_not(tmp_path: Path, pictures: Pictures) -> None:
    store, root = pictures.store(tmp_path / "store"), tmp_path / "in"
    with serving(lambda number, body: say("") if number == 1 else look(body)) as server:
        table = {"kind": "endpoint", "base_url": server.url, "concurrency": 1, **FAST}
        first, _ = run(recipe(folder_of(pictures, root, range(3)), table), store)
        second, _ = run(recipe(folder_of(pictures, root, range(4)), table), store)
    assert first.summary["rows"] == 2 and first.details["captioner_counts"]["empty"] == 1
    assert second.summary["rows"] == 4 and second.summary["drops"] == {}
    assert (second.details["computed"], second.details["reused"], len(server.bodies)) == (2, 2, 5)


def test_a_server_of_nonsense_leaves_nothing_behind(tmp_path: Path, pictures: Pictures) -> None:
    store, reader = pictures.store(tmp_path / "store"), folder_of(pictures, tmp_path / "in", range(3))
    with serving(lambda number, body: say("")) as server:
        table = {"kind": "endpoint", "base_url": server.url, **FAST}
        with pytest.raises(InputError, match="not one of the 3 images got a caption"):
            run(recipe(reader, table), store)
        server.reply = lambda number, body: look(body)
        assert run(recipe(reader, table), store)[0].details["computed"] == 3


def test_a_server_that_breaks_down_leaves_the_finished_shards(tmp_path: Path, pictures: Pictures) -> None:
    store, reader = pictures.store(tmp_path / "store"), folder_of(pictures, tmp_path / "in", range(7))
    sizes = {"batch_rows": 2, "shard_rows": 2}
    with serving(lambda number, body: look(body) if number < 5 else Reply(b"no more", 503)) as server:
        table = {"kind": "endpoint", "base_url": server.url, "retries": 0, "concurrency": 1, **FAST}
        with pytest.raises(InputError, match="finished shards are stored"):
            run(recipe(reader, table, **sizes), store)
        server.reply = lambda number, body: look(body)
        resumed, _ = run(recipe(reader, table, **sizes), store)
        unbroken, _ = run(recipe(reader, table), pictures.store(tmp_path / "unbroken"))
    assert (resumed.details["computed"], resumed.details["reused"]) == (3, 4)
    assert resumed.summary["files"] == unbroken.summary["files"]


KILLED = """
from spn4cir_core.store.artifacts import Store
from tests.captions.test_stage import recipe, run
run(recipe({reader!r}, {table!r}, batch_rows=2, shard_rows=2), Store({store!r}))
"""


def test_killed_and_resumed_gives_the_bytes_of_an_unbroken_run(tmp_path: Path, pictures: Pictures) -> None:
    store, reader = pictures.store(tmp_path / "killed"), folder_of(pictures, tmp_path / "in", range(7))
    fifth_request, over = threading.Event(), threading.Event()

    def reply(number: int, body: Any) -> Reply:
        if number == 4:
            fifth_request.set()
            over.wait(30)
        return look(body)

    with serving(reply) as server:
        table = {"kind": "endpoint", "base_url": server.url, "concurrency": 1, "timeout_s": 60, "model": "llava"}
        code = KILLED.format(reader=reader, table=table, store=str(store.root))
        process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
        assert fifth_request.wait(60), "the run asked for fewer than five pictures"
        process.kill()
        assert process.wait() == -signal.SIGKILL
        over.set()
        assert store.current("demo", "captions") is None
        made = recipe(reader, table, batch_rows=2, shard_rows=2)
        resumed, _ = run(made, store)
        unbroken, _ = run(made, pictures.store(tmp_path / "unbroken"))
    assert (resumed.details["computed"], resumed.details["reused"]) == (3, 4)
    assert resumed.summary["files"] == unbroken.summary["files"]


def cut(text: str) -> Reply:
    """A completion that ended at ``max_tokens``."""
    reply = say(text)
    reply.body["choices"][0]["finish_reason"] = "length"
    return reply


def test_a_cut_answer_is_asked_for_once_more_with_more_room(pictures: Pictures) -> None:
    def answer(number: int, body: Any) -> Reply:
        return say("<think>long</think> a red hat") if body["max_tokens"] > 60 else cut("<think>lo")

    with serving(answer) as server:
        caption = Endpoint(base_url=server.url, model="m").start(pictures.files)
        assert caption(pictures.images[:1], pictures.open()[:1]) == ["a red hat"]
        assert [body["max_tokens"] for body in server.bodies] == [60, 480]


def test_an_answer_that_is_cut_again_is_a_counted_drop(pictures: Pictures) -> None:
    with serving(lambda number, body: cut("A red hat with a very")) as server:
        caption = Endpoint(base_url=server.url, model="m").start(pictures.files)
        assert caption(pictures.images[:1], pictures.open()[:1]) == [None]
        assert caption.counts["cut"] == 2 and len(server.bodies) == 2  # type: ignore[attr-defined]
