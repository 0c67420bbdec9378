"""Dagster's own way to start a run, which also notices that a run's process is gone."""

from __future__ import annotations

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

from dagster_project.run_processes import lives, process_is_gone, started_process

GONE = CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its process is gone")
RUNNING = CheckRunHealthResult(WorkerStatus.RUNNING)


class WatchedRunLauncher(DefaultRunLauncher):
    """Named in ``dagster.yaml``. Without it, a run that ended with its code server counts as active for ever.

    A code server reports the end of its runs. After a power cut it is gone too, and a run that a command line started
    never had one; then the process id decides.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """The monitoring daemon asks after each run, and reports as failed what is not running any more."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a run lives. One of another machine is taken to do so."""
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:
            return GONE if process_is_gone(self._instance, run) else RUNNING
        if client.host not in ("localhost", "127.0.0.1"):
            return CheckRunHealthResult(WorkerStatus.RUNNING, "it was not started by a code server of this machine")
        try:
            reply = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id))
            if deserialize_value(reply, CanCancelExecutionResult).can_cancel:
                return RUNNING
        except DagsterUserCodeUnreachableError:
            pass
        # Not known to the server: it was restarted, or has loaded newer code since, or is too busy to answer.
        started = started_process(self._instance, run.run_id)
        return GONE if started and not lives(*started) else RUNNING
