from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.run_processes import MACHINE, end_dead_runs, lives, slot_holders
from dagster_project.stage_asset import GPU_POOL
from tests.dagster_project.executed_jobs import shipped_instance
from tests.dagster_project.started_runs import gone, started_run

HERE = {MACHINE: platform.node()}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with shipped_instance(tmp_path / "home") as instance:
        instance.event_log_storage.initialize_concurrency_limit_to_default(GPU_POOL)
        yield instance


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    reloaded = instance.get_run_by_id(run.run_id)
    assert reloaded is not None
    return reloaded.status


def holds_the_gpu(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    return instance.event_log_storage.claim_concurrency_slot(GPU_POOL, run.run_id, "captions").is_claimed


@pytest.mark.parametrize("tags", [HERE, {}], ids=["tagged", "of a version without the tag"])
def test_a_dead_run_is_ended_and_its_slot_is_free(instance: dg.DagsterInstance, tags: dict[str, str]) -> None:
    dead = started_run(instance, gone(), **tags)
    assert holds_the_gpu(instance, dead) and slot_holders(instance) == slot_holders(instance, GPU_POOL) == {dead.run_id}
    end_dead_runs(instance)
    assert status_of(instance, dead) == dg.DagsterRunStatus.FAILURE and slot_holders(instance) == set()
    assert holds_the_gpu(instance, started_run(instance, os.getpid()))


def test_a_dead_run_that_was_being_cancelled_is_cancelled(instance: dg.DagsterInstance) -> None:
    dead = started_run(instance, gone(), **HERE)
    instance.report_run_canceling(dead)
    end_dead_runs(instance)
    assert status_of(instance, dead) == dg.DagsterRunStatus.CANCELED


def test_a_run_that_ended_without_freeing_its_slot_keeps_its_status(instance: dg.DagsterInstance) -> None:
    ended = started_run(instance, gone(), **HERE)
    assert holds_the_gpu(instance, ended)
    instance.report_run_failed(ended, "out of memory")
    end_dead_runs(instance)
    assert slot_holders(instance) == set()
    messages = [entry.message for entry in instance.all_logs(ended.run_id)]
    assert not any("process is gone" in message for message in messages)


@pytest.mark.parametrize(("process", "tags"), [(os.getpid, HERE), (gone, {MACHINE: "elsewhere"})])
def test_a_run_that_lives_or_is_elsewhere_is_left_alone(
    instance: dg.DagsterInstance, process: object, tags: dict[str, str]
) -> None:
    assert callable(process)
    run = started_run(instance, process(), **tags)
    assert holds_the_gpu(instance, run)
    end_dead_runs(instance)
    assert status_of(instance, run) == dg.DagsterRunStatus.STARTED and slot_holders(instance) == {run.run_id}


def test_an_id_that_another_process_has_now_is_not_the_same_process() -> None:
    assert lives(os.getpid(), time.time())
    assert not lives(os.getpid(), time.time() - 7 * 24 * 3600) or not Path("/proc/stat").exists()
    assert not lives(gone(), time.time())


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the system does not say whether a process is a zombie")
def test_a_process_that_nobody_has_waited_for_has_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.read() == b""
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not lives(process.pid, time.time())
    process.wait()
