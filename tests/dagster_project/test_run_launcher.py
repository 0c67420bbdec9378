from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import dagster as dg
import pytest
import yaml
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG, WILL_RETRY_TAG
from dagster._daemon.monitoring.run_monitoring import monitor_started_run

from dagster_project.run_launcher import WatchedRunLauncher
from dagster_project.run_processes import MACHINE
from tests.dagster_dev import free_port
from tests.dagster_project.started_runs import gone, started_run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(
        str(tmp_path_factory.mktemp("home")),
        overrides=yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8")),
    ) as instance:
        yield instance


def nobody_listens() -> dict[str, str]:
    return {GRPC_INFO_TAG: f'{{"host": "localhost", "port": {free_port()}}}'}


def test_the_shipped_configuration_watches_runs_and_starts_killed_ones_again(instance: dg.DagsterInstance) -> None:
    assert isinstance(instance.run_launcher, WatchedRunLauncher)
    assert instance.run_launcher.supports_check_run_worker_health and instance.run_monitoring_enabled
    assert instance.run_retries_enabled and instance.run_retries_max_retries > 0
    assert not instance.run_retries_retry_on_asset_or_op_failure


@pytest.mark.parametrize(
    ("process", "known_to_a_server", "status"),
    [
        (gone, True, WorkerStatus.NOT_FOUND),
        (os.getpid, True, WorkerStatus.RUNNING),
        (gone, False, WorkerStatus.NOT_FOUND),
        (os.getpid, False, WorkerStatus.RUNNING),
    ],
)
def test_a_run_whose_server_and_process_are_gone_is_not_found(
    instance: dg.DagsterInstance, process: object, known_to_a_server: bool, status: WorkerStatus
) -> None:
    assert callable(process)
    run = started_run(instance, process(), **(nobody_listens() if known_to_a_server else {}))
    assert instance.run_launcher.check_run_worker_health(run).status == status


def test_a_run_that_a_power_cut_has_ended_is_reported_and_will_be_started_again(instance: dg.DagsterInstance) -> None:
    run = started_run(instance, gone(), **nobody_listens())
    record = instance.get_run_record_by_id(run.run_id)
    assert record is not None
    monitor_started_run(instance, cast(Any, None), record, logging.getLogger())
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None and ended.status == dg.DagsterRunStatus.FAILURE and ended.tags[WILL_RETRY_TAG] == "true"


def test_a_server_elsewhere_is_not_judged_by_the_processes_of_this_machine(instance: dg.DagsterInstance) -> None:
    run = started_run(instance, gone(), **{GRPC_INFO_TAG: '{"host": "user-code.example.org", "port": 4000}'})
    assert instance.run_launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING


def test_a_command_on_another_machine_is_not_judged_by_the_processes_of_this_one(instance: dg.DagsterInstance) -> None:
    run = started_run(instance, gone(), **{MACHINE: "elsewhere"})
    assert instance.run_launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
