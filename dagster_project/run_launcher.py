"""Dagster's own way to start a run, which also notices that a run's process is gone."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
from dagster import DagsterEventType
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

from spn4cir_core.engine.child_processes import is_alive

GONE = CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its process is gone")
SLACK_S = 60.0


class WatchedRunLauncher(DefaultRunLauncher):
    """Named in ``dagster.yaml``. Without it, a run that ended with its code server counts as active for ever.

    A code server reports the end of its runs. After a power cut it is gone too; then the process id decides.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """The monitoring daemon asks after each run, and reports as failed what is not running any more."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a run lives. One that no code server of this machine has started is taken to do so."""
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None or client.host not in ("localhost", "127.0.0.1"):
            return CheckRunHealthResult(WorkerStatus.RUNNING, "it was not started by a code server of this machine")
        try:
            reply = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id))
            if deserialize_value(reply, CanCancelExecutionResult).can_cancel:
                return CheckRunHealthResult(WorkerStatus.RUNNING)
        except DagsterUserCodeUnreachableError:
            pass
        # Not known to the server: it was restarted, or has loaded newer code since, or is too busy to answer.
        started = self._started(run.run_id)
        return GONE if started and not lives(*started) else CheckRunHealthResult(WorkerStatus.RUNNING)

    def _started(self, run_id: str) -> tuple[int, float] | None:
        """Id and start of the run's process, seconds since the epoch."""
        for entry in self._instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT):
            metadata = entry.dagster_event.engine_event_data.metadata if entry.dagster_event else {}
            if "pid" in metadata:
                return int(str(metadata["pid"].value)), entry.timestamp
        return None


def lives(process: int, started_at: float) -> bool:
    """Whether the process that reported its id at that time (seconds since the epoch) is still running.

    Ids are reused: where the system knows when a process began, one that began later is a different process.
    """
    began = _began(process)
    return is_alive(process) and (began is None or began <= started_at + SLACK_S)


def _began(process: int) -> float | None:
    """Seconds since the epoch, on Linux; proc(5)."""
    try:
        ticks = int(Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        booted = Path("/proc/stat").read_text(encoding="utf-8").partition("btime ")[2].split()[0]
    except (OSError, LookupError, ValueError):
        return None
    return float(booted) + ticks / os.sysconf("SC_CLK_TCK")
