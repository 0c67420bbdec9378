"""The stage with a rewriter: what is kept, what falls back, and what a kill costs."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.errors import InputError, RecipeError
from spn4cir_core.texts.stages import MODIFIED_TEXTS
from tests.captions.chat_server import ChatServer, Reply, say, serving
from tests.texts.conftest import SCENES, Pairs, echo

FAST = {"kind": "endpoint", "model": "m", "first_wait_s": 0.01, "timeout_s": 10, "concurrency": 1}


def table(server: ChatServer, **more: Any) -> dict[str, Any]:
    return {**FAST, "base_url": server.url, **more}


def test_a_rewritten_text_takes_the_templates_place(
    pairs: Pairs, hand_written: Any, rewriter_table: Callable[[str], dict[str, Any]]
) -> None:
    artifact = pairs.stage(hand_written, rewriter=rewriter_table("endpoint"))
    rows = artifact.table().to_pylist()
    targets = [*pairs.captions[1:], pairs.captions[0]]
    assert [row["modified_texts"] for row in rows] == [[f"make it {target}"] for target in targets]
    assert {tuple(row["template_ids"]) for row in rows} == {("rewritten",)}
    assert all(row["added"] and not row["fallback"] for row in rows)
    assert [row["token_count"] for row in rows] == [len(row["modified_texts"][0].split()) for row in rows]
    details = artifact.details
    assert (details["rewriter"], details["rewritten"], details["not_rewritten"], details["computed"]) == (
        "endpoint",
        SCENES,
        {},
        SCENES,
    )
    assert details["rewriter_counts"]["requests"] == details["rewriter_counts"]["pairs"] == SCENES
    first = details["rewriter_sample"][0]
    assert first["answer"].startswith("Modified text:") and first["refused"] == ""


def test_templates_can_stay_beside_it(pairs: Pairs, hand_written: Any, text_server: ChatServer) -> None:
    alone = pairs.stage(hand_written, "published_cirr", choose="all").table().to_pylist()
    settings = {"rewriter": table(text_server), "template_texts": "beside", "choose": "all"}
    beside = pairs.stage(hand_written, "published_cirr", **settings).table().to_pylist()
    for before, after in zip(alone, beside, strict=True):
        assert after["modified_texts"][1:] == before["modified_texts"]
        assert after["template_ids"] == ["rewritten", *before["template_ids"]]
        assert after["token_count"] == before["token_count"]


def test_the_pictures_are_shown_to_a_rewriter_that_sees_them(pairs: Pairs, hand_written: Any) -> None:
    with serving(lambda number, body: echo(body)) as server:
        artifact = pairs.stage(hand_written, rewriter=table(server, sees="images"))
    contents = [body["messages"][0]["content"] for body in server.bodies]
    assert {tuple(part["type"] for part in content) for content in contents} == {("image_url", "image_url", "text")}
    shown = {tuple(part["image_url"]["url"] for part in content[:2]) for content in contents}
    assert len(shown) == SCENES and {one for one, _ in shown} == {two for _, two in shown}
    assert not any(caption in str(contents) for caption in pairs.captions), "its prompt does not tell the captions"
    assert artifact.details["rewritten"] == SCENES, "its words need not be the captions' ones"


GARBAGE: dict[str, list[Any]] = {
    "the model gave no answer": [Reply(b"not json"), Reply({"choices": []}), Reply(b"no such model", 400)],
    "an empty answer": [say(""), say(None), say(' ".\n" ')],
    "a refusal, or words about the task": [say("I'm sorry, I can't see pictures."), say("No differences.")],
    "the same words again and again": [say("star star star star star")],
    "an over-long answer": [say(" ".join(f"word{number}" for number in range(99)))],
    "nothing of the target is named": [say("make it nicer")],
}


@pytest.mark.parametrize(("reason", "reply"), [(reason, reply) for reason in GARBAGE for reply in GARBAGE[reason]])
def test_garbage_falls_back_to_the_template_and_is_counted(
    reason: str, reply: Reply, pairs: Pairs, hand_written: Any
) -> None:
    templates = pairs.stage(hand_written).table()
    with serving(lambda number, body: reply if number % 2 == 0 else echo(body)) as server:
        artifact = pairs.stage(hand_written, rewriter=table(server, retries=0))
    details = artifact.details
    assert details["not_rewritten"] == {reason: SCENES // 2} and details["rewritten"] == SCENES // 2
    before, after = templates.to_pylist(), artifact.table().to_pylist()
    fell_back = [row["template_ids"] != ["rewritten"] for row in after]
    assert sum(fell_back) == SCENES // 2
    assert all(one == two for one, two, same in zip(before, after, fell_back, strict=True) if same)
    assert reason in {row["refused"] for row in details["rewriter_sample"]}
    assert artifact.summary["drops"] == {}


def test_a_pair_without_an_answer_is_asked_about_again(pairs: Pairs, hand_written: Any) -> None:
    with serving(lambda number, body: Reply(b"no", 400) if number == 1 else echo(body)) as server:
        first = pairs.stage(hand_written, rewriter=table(server)).details
        second = pairs.stage(hand_written, rewriter=table(server), seed=1).details
    assert (first["not_rewritten"], first["computed"]) == ({"the model gave no answer": 1}, SCENES)
    assert (second["not_rewritten"], second["computed"], second["reused"]) == ({}, 1, SCENES - 1)


def test_a_server_that_is_down_is_an_error(pairs: Pairs, hand_written: Any) -> None:
    with serving() as server:
        pass
    with pytest.raises(InputError, match=r"chat server .* is down"):
        pairs.stage(hand_written, rewriter=table(server, retries=1))


def test_captions_that_say_the_same_are_a_case_for_the_pictures_alone(
    pairs: Pairs, hand_written: Any, text_server: ChatServer
) -> None:
    same = Pairs(pairs.root, pairs.names, ["a circle"] * (SCENES - 1) + ["a star"])
    reading = same.stage(hand_written, rewriter=table(text_server))
    assert reading.summary["rows"] == 2 and reading.summary["drops"] == {"captions say the same": SCENES - 2}
    seeing = same.stage(hand_written, rewriter=table(text_server, sees="images"))
    assert seeing.summary["rows"] == SCENES and seeing.summary["drops"] == {}


def test_a_prompt_about_the_templates_text_is_not_asked_without_one(
    pairs: Pairs, hand_written: Any, text_server: ChatServer
) -> None:
    one_adds = Pairs(pairs.root, pairs.names, ["a circle"] * (SCENES - 1) + ["a circle and a star"])
    paraphrase = one_adds.stage(hand_written, "remove_removed", rewriter=table(text_server, prompt="paraphrase"))
    assert paraphrase.details["questions"] == 1
    assert paraphrase.summary["drops"] == {
        "captions say the same": SCENES - 2,
        "no template in use applies to this change": 1,
    }
    difference = one_adds.stage(hand_written, "remove_removed", rewriter=table(text_server))
    assert difference.details["questions"] == 2 and difference.summary["drops"] == {"captions say the same": SCENES - 2}


def test_other_settings_and_words_make_another_artefact(pairs: Pairs, hand_written: Any, tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("picture they want shows: {target}. Now?", encoding="utf-8")
    with serving(lambda number, body: echo(body)) as server:
        marks = [pairs.stage(hand_written, rewriter=table(server)).fingerprint]
        assert pairs.stage(hand_written, rewriter=table(server, timeout_s=9)).fingerprint == marks[0]
        marks += [pairs.stage(hand_written, rewriter=table(server, prompt=str(own))).fingerprint]
        own.write_text("picture they want shows: {target}. Well?", encoding="utf-8")
        marks += [pairs.stage(hand_written, rewriter=table(server, prompt=str(own))).fingerprint]
        assert [body["messages"][0]["content"][0]["text"][-5:] for body in server.bodies[-2 * SCENES :]] == (
            [" Now?"] * SCENES + ["Well?"] * SCENES
        )
        with pytest.raises(RecipeError, match=r"'nowhere\.txt' cannot be read"):
            pairs.stage(hand_written, rewriter=table(server, prompt="nowhere.txt"))
    assert len(set(marks)) == 3


def test_equal_questions_are_asked_once(pairs: Pairs, hand_written: Any) -> None:
    twice = Pairs(pairs.root, pairs.names, ["a circle", "a star"] * (SCENES // 2))
    with serving(lambda number, body: echo(body)) as server:
        artifact = twice.stage(hand_written, rewriter=table(server))
    assert len(server.bodies) == 2 and artifact.summary["rows"] == SCENES


@pytest.mark.parametrize("kind", ["llm", "vlm"])
def test_batches_do_not_change_the_bytes(
    kind: str, pairs: Pairs, hand_written: Any, tmp_path: Path, rewriter_table: Callable[[str], dict[str, Any]]
) -> None:
    files, answers = [], []
    for batch_rows in (1, 4):
        fresh = type(hand_written)(tmp_path / str(batch_rows))
        artifact = pairs.stage(fresh, rewriter=rewriter_table(kind), batch_rows=batch_rows)
        files.append(artifact.summary["files"])
        answers.append([row["answer"] for row in artifact.details["rewriter_sample"]])
    assert files[0] == files[1] and answers[0] == answers[1] and all(answers[0])


KILLED = """
import sys
from pathlib import Path
from tests.conftest import HandWritten
from tests.texts.conftest import Pairs
pairs = Pairs(Path(sys.argv[1]), eval(sys.argv[2]), eval(sys.argv[3]))
pairs.stage(HandWritten(Path(sys.argv[4])), rewriter=eval(sys.argv[5]), batch_rows=2, shard_rows=2)
"""


def test_killed_and_resumed_gives_the_bytes_of_an_unbroken_run(pairs: Pairs, hand_written: Any, tmp_path: Path) -> None:
    four_requests, over = threading.Event(), threading.Event()

    def reply(number: int, body: Any) -> Reply:
        if number == 3:
            four_requests.set()
            over.wait(30)
        return echo(body)

    with serving(reply) as server:
        settings = table(server, timeout_s=60)
        texts = [repr(pairs.names), repr(pairs.captions), str(hand_written.store.root), repr(settings)]
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(pairs.root), *texts], cwd=Path(__file__).parents[2]
        )
        assert four_requests.wait(60), "fewer than four pairs were asked about"
        process.kill()
        assert process.wait() == -signal.SIGKILL
        over.set()
        assert hand_written.store.current("test", "modified_texts") is None
        resumed = pairs.stage(hand_written, rewriter=settings, batch_rows=2, shard_rows=2)
        unbroken = pairs.stage(type(hand_written)(tmp_path / "unbroken"), rewriter=settings)
    assert (resumed.details["computed"], resumed.details["reused"]) == (SCENES - 2, 2)
    assert resumed.summary["files"] == unbroken.summary["files"]


def test_progress_is_told(pairs: Pairs, hand_written: Any, text_server: ChatServer) -> None:
    progress: list[tuple[str, int, int]] = []
    recipe = pairs.recipe(hand_written, rewriter=table(text_server))
    MODIFIED_TEXTS.run(recipe, hand_written.store, lambda label, done, total: progress.append((label, done, total)))
    assert ("rewriting texts", 0, SCENES) in progress and ("rewriting texts", SCENES, SCENES) in progress
