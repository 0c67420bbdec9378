"""The log of judgements: what is added is there for everyone, for good, whoever writes at the same time."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.judgements import judgement_log
from spn4cir_core.judgements.judgement import Judgement, Purpose, Verdict
from spn4cir_core.judgements.judgement_log import JudgementLog
from spn4cir_core.store.artifacts import Store

PURPOSES: dict[str, Purpose] = {"a.png": "train", "b.png": "train", "c.png": "evaluation"}
EVIL = "'); DROP TABLE judgements; -- <b>"


def judged(verdict: Verdict = "right", image_id: str = "b.png", judge: str = "Ann", text: str = "red") -> Judgement:
    return Judgement(("a.png",), text, image_id, verdict, 3, (), judge, "blend", "b1", "i1")


@pytest.fixture
def log(tmp_path: Path) -> JudgementLog:
    return JudgementLog(Store(tmp_path / "store"), "toys")


def test_nothing_is_made_before_the_first_judgement(log: JudgementLog) -> None:
    assert log.judgements() == [] and log.purposes() == {} and len(log) == 0
    assert log.of_query(("a.png",), "red", "Ann") == {} and not log.path.exists()


def test_what_is_added_is_read_back_in_order_by_another_process(log: JudgementLog) -> None:
    given = [
        judged(),
        judged("wrong", judge=EVIL, text=EVIL),
        replace(judged("none", ""), rank=None, shown_ids=("b.png",)),
    ]
    assert log.add(given, PURPOSES) == 3
    assert log.judgements() == given and log.judgements(first=2) == given[:2] and len(log) == 3
    script = (
        "import sys; from spn4cir_core.store.artifacts import Store\n"
        "from spn4cir_core.judgements.judgement_log import JudgementLog\n"
        "print([each.judgement_id for each in JudgementLog(Store(sys.argv[1]), 'toys').judgements()])\n"
    )
    command = [sys.executable, "-c", script, str(log.path.parent)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == str([each.judgement_id for each in given])


def test_judgements_of_one_recipe_are_brought_to_another_once(log: JudgementLog) -> None:
    given = [judged(), judged("wrong", "c.png")]
    log.add(given, PURPOSES)
    other = JudgementLog(Store(log.path.parent), "shop")
    assert [other.add(given, PURPOSES), other.add(given, PURPOSES), len(other), len(log)] == [2, 0, 2, 2]
    assert [(each.image_id, each.verdict) for each in other.judgements()] == [("b.png", "right"), ("c.png", "wrong")]
    assert [each.judgement_id for each in log.judgements()] == [each.judgement_id for each in given]


def test_a_judgement_counts_once_and_recipes_are_apart(log: JudgementLog) -> None:
    one = judged()
    assert (log.add([one], PURPOSES), log.add([one, judged("wrong")], PURPOSES)) == (1, 1)
    other = JudgementLog(Store(log.path.parent), "shoes")
    assert len(log) == 2 and other.judgements() == [] and other.purposes() == {}


def test_the_last_verdict_of_a_judge_counts_and_can_be_taken_back(log: JudgementLog) -> None:
    log.add([judged("right"), judged("wrong", judge="Bob"), judged("wrong")], PURPOSES)
    assert log.of_query(["a.png"], " red ", "Ann") == {"b.png": "wrong"}
    log.add([judged("withdrawn"), judged("unsure", "c.png")], PURPOSES)
    assert log.of_query(["a.png"], "red", "Ann") == {"c.png": "unsure"}
    assert log.of_query(["a.png"], "red", "Bob") == {"b.png": "wrong"}
    assert log.of_query(["a.png"], EVIL, "Ann") == {}


def test_a_purpose_that_was_decided_stays(log: JudgementLog) -> None:
    log.add([judged()], PURPOSES)
    log.add([judged()], {"a.png": "evaluation", "d.png": "validation"})
    assert log.purposes() == {**PURPOSES, "d.png": "validation"}
    assert log.purposes(["d.png", EVIL]) == {"d.png": "validation"}


def test_many_threads_add_at_once_and_nothing_is_lost(log: JudgementLog) -> None:
    def add(number: int) -> None:
        for round_number in range(5):
            log.add([judged(judge=f"judge {number}", text=f"text {round_number}")], PURPOSES)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    assert {(each.judge, each.modified_text) for each in log.judgements()} == {
        (f"judge {number}", f"text {round_number}") for number in range(8) for round_number in range(5)
    }


def test_what_was_acknowledged_survives_a_kill(log: JudgementLog) -> None:
    script = (
        "import sys; from spn4cir_core.store.artifacts import Store\n"
        "from spn4cir_core.judgements.judgement import Judgement\n"
        "from spn4cir_core.judgements.judgement_log import JudgementLog\n"
        "log = JudgementLog(Store(sys.argv[1]), 'toys')\n"
        "for number in range(10**6):\n"
        "    one = Judgement(('a.png',), f'text {number}', 'b.png', 'right')\n"
        "    log.add([one], {'a.png': 'train', 'b.png': 'train'})\n"
        "    print(number, flush=True)\n"
    )
    command = [sys.executable, "-c", script, str(log.path.parent)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline() for _ in range(3)]
    os.kill(process.pid, signal.SIGKILL)
    acknowledged += process.stdout.readlines()
    process.wait()
    texts = [each.modified_text for each in log.judgements()]
    assert texts[: len(acknowledged)] == [f"text {int(line)}" for line in acknowledged]
    assert len(texts) - len(acknowledged) in (0, 1), "one may have been kept and not acknowledged"


def test_a_full_log_takes_no_more(log: JudgementLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judgement_log, "MOST_JUDGEMENTS", 2)
    log.add([judged(), judged()], PURPOSES)
    with pytest.raises(InputError, match="at most 2 are kept"):
        log.add([judged()], {"new.png": "train"})
    assert len(log) == 2 and "new.png" not in log.purposes()


def test_a_verdict_of_another_name_is_refused_and_nothing_of_the_call_stays(log: JudgementLog) -> None:
    log.add([judged()], PURPOSES)
    with pytest.raises(StoreError, match="CHECK"):
        log.add([judged(), replace(judged(), verdict="maybe")], {"new.png": "train"})  # type: ignore[arg-type]
    assert "new.png" not in log.purposes()


def test_a_damaged_file_is_named(log: JudgementLog) -> None:
    log.add([judged()], PURPOSES)
    log.path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"judgements\.sqlite cannot be read"):
        log.judgements()


def test_a_log_from_before_has_no_strata_and_takes_them_from_now_on(log: JudgementLog) -> None:
    older, newer = judged(), replace(judged("wrong"), stratum="edit, 2 first hits", stratum_queries=12)
    log.add([older], PURPOSES)
    with closing(sqlite3.connect(log.path)) as connection:
        for name in judgement_log.NEWER_COLUMNS:
            connection.execute(f"ALTER TABLE judgements DROP COLUMN {name}")
    assert log.judgements() == [older]
    with ThreadPoolExecutor(4) as pool:
        pool.map(lambda number: log.add([replace(newer, judgement_id=str(number))], PURPOSES), range(4))
    assert [each.stratum_queries for each in log.judgements()] == [0, 12, 12, 12, 12]
