"""Runs that have started and say which process is theirs."""

from __future__ import annotations

import subprocess
import sys

import dagster as dg
from dagster._core.events import EngineEventData


def gone() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def started_run(instance: dg.DagsterInstance, process: int, **tags: str) -> dg.DagsterRun:
    run = instance.create_run_for_job(
        dg.define_asset_job("one", "*").resolve(
            asset_graph=dg.Definitions(assets=[dg.asset(name="thing")(lambda: 1)]).resolve_asset_graph()
        ),
        status=dg.DagsterRunStatus.STARTED,
        tags=tags,
    )
    instance.report_engine_event("Started process for run", run, EngineEventData.in_process(process))
    return run
