"""One writer at a time: the second says who holds the lock and for how long, or waits."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from spn4cir_core.engine.plugins import Settings
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.errors import StoreError
from spn4cir_core.recipe import Recipe
from spn4cir_core.store import locks
from spn4cir_core.store.artifacts import Store

HOLD = """
import sys, time
from spn4cir_core.store.artifacts import Store
with Store(sys.argv[1]).writing("things", sys.argv[2], {}) as draft:
    print("locked", flush=True)
    sys.stdin.readline()
    draft.write_json("by the first", "things.json")
"""


@contextmanager
def holder(store: Store, fingerprint: str = "abc") -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", HOLD, str(store.root), fingerprint]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"locked\n"
        yield process
        process.kill()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_the_second_says_who_holds_it_and_for_how_long_and_a_killed_holder_holds_nothing(store: Store) -> None:
    with holder(store) as first:
        lock = store.root / "locks" / "things-abc"
        for age_s, shown in ((30, r"3\d s"), (185, "3 min"), (3 * 3600 + 130, "3 h 2 min"), (-9000, "0 s")):
            os.utime(lock, (0, time.time() - age_s))
            with (
                pytest.raises(StoreError, match=rf"process {first.pid} on .* since .*, for {shown}\).*=wait"),
                store.writing("things", "abc", {}),
            ):
                pass
        first.kill()
        first.wait()
        with store.writing("things", "abc", {}):
            pass
    assert store.get("things", "abc") is not None


def test_two_days_are_said_as_days() -> None:
    assert locks._duration(2 * 86400 + 5 * 3600) == "2 d 5 h"


def test_a_waiting_second_run_says_so_and_uses_what_the_first_has_written(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def write(work: Work) -> None:
        work.draft.write_table(pa.table({"x": [1]}), "things.parquet")

    stage = Stage(name="things", parents=(), view=Settings, version=1, write=write)
    recipe = Recipe.model_construct(name="test")
    fingerprint = stage.wanted(recipe, store)
    assert fingerprint is not None
    monkeypatch.setenv(locks.WHEN_LOCKED, "wait")
    with holder(store, fingerprint) as first:

        def let_go(seconds: float) -> None:
            assert first.stdin is not None
            if not first.stdin.closed:
                first.stdin.write(b"go\n")
                first.stdin.close()
            real_sleep(0.02)

        real_sleep = time.sleep
        monkeypatch.setattr(locks.time, "sleep", let_go)
        with caplog.at_level(logging.WARNING):
            artifact, reused = stage.run(recipe, store)
    assert reused and artifact.file("things.json").read_text() == '"by the first"\n'
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"process {first.pid} on" in caplog.text and "waiting for it to end" in caplog.text


def test_an_unknown_wish_is_one_clear_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(locks.WHEN_LOCKED, "perhaps")
    with pytest.raises(StoreError, match="'perhaps': it is 'say'"), store.writing("things", "abc", {}):
        pass
