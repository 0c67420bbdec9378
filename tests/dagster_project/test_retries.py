"""What is tried again and what is not: errors that may pass, and those that would only come back."""

import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dagster_project.resources import Pipeline
from spn4cir_core import errors
from spn4cir_core.engine import stage
from spn4cir_core.engine.plugins import Settings
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.errors import Spn4cirError
from spn4cir_core.launch.launcher import Launch
from tests.captions.chat_server import Reply, look, serving
from tests.dagster_project.test_captions_asset import ROOT, Assets, logged

SHAPES = {"images": {"reader": {"kind": "shapes", "scenes": 1, "validation_scenes": 0, "edits": 2, "test_scenes": 0}}}
TRIES = 3
SOON = {"retries": TRIES - 1, "retry_wait_s": 0.01}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def tries(error: Exception, folder: Path, instance: dg.DagsterInstance) -> tuple[int, str]:
    """How often a stage that always fails so is run, and what is said in the end."""
    calls = []

    def write(work: Work) -> None:
        calls.append(work)
        raise error

    failing = Stage(name="failing", parents=(), view=Settings, version=1, write=write)
    pipeline = Pipeline(recipe="demo", store=str(folder), **SOON)

    @dg.asset
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        return pipeline.materialize(context, failing)

    result = dg.materialize([asset], instance=instance, raise_on_error=False)
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    return len(calls), str(failure.step_failure_data.error)


@pytest.mark.parametrize(
    "error",
    [
        errors.InputChanged("the files it reads were changed"),
        errors.ServerDown("the chat server is down"),
        errors.StoreLocked("another process is writing it"),
        errors.StoreUnreachable("the bucket does not answer"),
        errors.ProcessLost("a process was killed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_may_pass_is_tried_again(error: Spn4cirError, tmp_path: Path, instance: dg.DagsterInstance) -> None:
    count, said = tries(error, tmp_path, instance)
    looks = stage.TRIES if isinstance(error, errors.InputChanged) else 1  # a stage itself looks again at once
    assert count == TRIES * looks and str(error) in said


@pytest.mark.parametrize(
    "error",
    [
        errors.RecipeError("no such key"),
        errors.InputError("no pictures"),
        errors.StoreError("no space left"),
        errors.TrainingError("the loss is no number"),
        errors.MissingExtra("faiss", "gpu"),
        errors.LaunchError("process 0 failed: a traceback"),
        ZeroDivisionError("a bug"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_would_come_back_is_not(error: Exception, tmp_path: Path, instance: dg.DagsterInstance) -> None:
    count, said = tries(error, tmp_path, instance)
    assert count == 1 and str(error) in said


def test_captions_go_on_when_the_server_is_back(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    def restarting(number: int, body: Any) -> Reply:
        return Reply({"error": "loading the model"}, 503) if number < 2 else look(body)

    with serving(restarting) as server:
        captioner = {"kind": "endpoint", "base_url": server.url, "model": "llava", "retries": 0, "concurrency": 1}
        assets = Assets(tmp_path / "few", instance, {**SHAPES, "captions": {"captioner": captioner}}, **SOON)
        result = assets.run("images", "captions")
    assert result.success and "Trying again in" in logged(instance, result)
    assert len(assets.artifact("captions").table()) == len(assets.artifact("images").table())


def test_a_launched_process_that_is_killed_is_started_again(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, started = Launch.command, []

    def killed_at_first(self: Launch, worker: str, *words: Any) -> Sequence[str]:
        started.append(worker)
        order = command(self, worker, *words)
        run = [sys.executable, *order[order.index(worker) - 1 :]]  # one process needs no launcher between
        return run if len(started) > 1 else [sys.executable, "-c", f"import os; os.kill(os.getpid(), {signal.SIGKILL})"]

    monkeypatch.setattr(Launch, "command", killed_at_first)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    captioner = {"kind": "llava", "model": "builtin:shapes"}
    assets = Assets(
        tmp_path / "few", instance, {**SHAPES, "captions": {"captioner": captioner}}, launcher="accelerate", **SOON
    )
    result = assets.run("images", "captions")
    assert result.success and len(started) == 2
    assert "perhaps killed for want of memory" in logged(instance, result)
