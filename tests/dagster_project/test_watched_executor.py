"""Commands on one home: one is killed, one waits, one is interrupted, and each says what it did."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.run_processes import slot_holders
from dagster_project.stage_asset import GPU_POOL
from dagster_project.sync import active_run
from tests.dagster_dev import reset_signals
from tests.dagster_project.executed_jobs import coloured_corpus, shipped_instance
from tests.dagster_project.started_runs import started_run
from tests.pipelines import tiny_recipe_file

ROOT = Path(__file__).parents[2]


class Home:
    """A home of Dagster and a store, on which commands are started."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.folder, self.instance = folder, instance
        self.recipe = coloured_corpus(folder / "corpus")

    def materialize(self, select: str, recipe: Path | None = None, **environment: str) -> subprocess.Popen[str]:
        own = {key: value for key, value in os.environ.items() if not key.startswith(("DAGSTER", "SPN4CIR"))}
        given = {
            "DAGSTER_HOME": self.folder / "home",
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "SPN4CIR_RECIPE": recipe or self.recipe,
            "SPN4CIR_STORE": self.folder / "store",
            "PYTHONPATH": ROOT,
            "PYTHONUNBUFFERED": "1",
        }
        words = ["asset", "materialize", "--select", select, "-m", "dagster_project.definitions"]
        return subprocess.Popen(
            [sys.executable, "-m", "dagster", *words],
            cwd=self.folder,
            env=own | {name: str(value) for name, value in given.items()} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=reset_signals,
        )

    def held_recipe(self) -> Path:
        """The same pictures, under a captioner that waits for its pipe."""
        os.mkfifo(self.folder / "pipe")
        reader = {"kind": "folder", "folder": str(self.folder / "corpus" / "pictures")}
        captioner = {"kind": "tests.dagster_project.held_captioner:Held", "pipe": str(self.folder / "pipe")}
        return tiny_recipe_file(
            self.folder, name="held", images={"reader": reader, "workers": 1}, captions={"captioner": captioner}
        )


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with shipped_instance(tmp_path / "home") as instance:
        yield Home(tmp_path, instance)


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What the process has printed up to the line with that text."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if text in line:
            return printed
    raise AssertionError(f"never printed {text!r}:\n{printed}")


def test_after_a_kill_the_next_command_ends_the_dead_run_and_goes_on(home: Home) -> None:
    with home.materialize("images,captions", home.held_recipe()) as killed:
        read_until(killed, "captions: writing")
        killed.kill()
    (dead,) = home.instance.get_runs()
    assert slot_holders(home.instance, GPU_POOL) == {dead.run_id} and "a run is active" in active_run(home.instance)
    with home.materialize("images,captions") as second:
        printed = second.communicate()[0]
    assert second.returncode == 0, printed
    assert "up to date:   images\n" in printed and "computed:     captions\n" in printed
    statuses = {run.run_id: run.status for run in home.instance.get_runs()}
    assert statuses.pop(dead.run_id) == dg.DagsterRunStatus.FAILURE
    assert list(statuses.values()) == [dg.DagsterRunStatus.SUCCESS]
    assert not slot_holders(home.instance) and not active_run(home.instance)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not list its processes there")
def test_the_process_of_a_step_ends_with_its_killed_run(home: Home) -> None:
    with home.materialize("images,captions", home.held_recipe(), SPN4CIR_EXECUTOR="multiprocess") as killed:
        read_until(killed, "captions: writing")
        killed.kill()
        assert killed.stdout is not None
        killed.stdout.read()  # it ends with the last process that could write into it


@pytest.mark.parametrize("signals", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_waits_says_for_whom_and_can_be_ended(home: Home, signals: signal.Signals) -> None:
    slots = home.instance.event_log_storage
    slots.initialize_concurrency_limit_to_default(GPU_POOL)
    other = started_run(home.instance, os.getpid())
    assert slots.claim_concurrency_slot(GPU_POOL, other.run_id, "stage1_checkpoint").is_claimed
    with home.materialize("captions") as waiting:
        printed = read_until(waiting, "waits for a free slot")
        assert f"captions waits for a free slot of the pool 'gpu', held by run {other.run_id[:8]}" in printed
        assert f"(process {os.getpid()})" in printed
        waiting.send_signal(signals)
        assert "interrupted. What is finished is kept" in waiting.communicate()[0]
    assert waiting.returncode == 1
    assert slots.get_concurrency_info(GPU_POOL).pending_step_count == 0, "it does not stand in the queue any more"
    assert slot_holders(home.instance) == {other.run_id}


def test_a_command_says_in_a_few_lines_what_was_up_to_date_and_what_was_computed(home: Home) -> None:
    outcomes = []
    for executor in ("in_process", "multiprocess"):
        with home.materialize("images", SPN4CIR_EXECUTOR=executor) as command:
            printed = command.communicate()[0]
        assert command.returncode == 0, printed
        assert "looking at: images\n" in printed
        outcomes.append(re.findall(r"^(up to date|computed|would run|report): +(.*)", printed, re.M))
    rest = ("would run", "16 not selected (why: spn4cir status)")
    assert outcomes == [[("computed", "images"), rest], [("up to date", "images"), rest]]


def test_a_command_that_fails_ends_with_one_line_on_why(home: Home) -> None:
    with home.materialize("captions") as command:
        printed = command.communicate()[0]
    assert command.returncode == 1
    assert re.match(r"error: captions: recipe '\w+' has not made images", printed.strip().splitlines()[-1]), printed
