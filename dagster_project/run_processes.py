"""Processes of runs: which of them are gone, and the end of the runs and pool slots that they leave behind."""

from __future__ import annotations

import multiprocessing
import os
import platform
from pathlib import Path

import dagster as dg
from dagster import DagsterEventType

from spn4cir_core.engine.child_processes import end_with_parent, is_alive

MACHINE = "spn4cir/machine"
"""Tag of a run: the machine on which its process is."""

UNFINISHED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
SLACK_S = 60.0


def end_dead_runs(instance: dg.DagsterInstance) -> None:
    """End each unfinished run whose process is gone, and free the pool slots that such runs hold.

    A killed command leaves its run started: it is reported as failed, one that was being cancelled as cancelled.
    """
    unfinished = {run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))}
    for run_id in unfinished | slot_holders(instance):
        run = instance.get_run_by_id(run_id)
        if run is not None and process_is_gone(instance, run):
            _end(instance, run_id)
            instance.event_log_storage.free_concurrency_slots_for_run(run_id)


def _end(instance: dg.DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)  # looked at anew: it may have ended in order a moment ago
    if run is None or run.status not in UNFINISHED:
        return
    says = "Its process is gone, killed or lost with the machine; the run is ended and its pool slots are free."
    if run.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, says)
    else:
        instance.report_run_failed(run, says)


def slot_holders(instance: dg.DagsterInstance, pool: str | None = None) -> set[str]:
    """Ids of the runs that hold slots of a pool, or of any."""
    slots = instance.event_log_storage
    if not slots.supports_global_concurrency_limits:
        return set()
    pools = [pool] if pool else slots.get_concurrency_keys()
    return {run_id for name in pools for run_id in slots.get_concurrency_info(name).active_run_ids}


def process_is_gone(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run's process was one of this machine and has ended; false where that is not known."""
    started = started_process(instance, run.run_id) if on_this_machine(instance, run) else None
    return started is not None and not lives(*started)


def on_this_machine(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the run says that its process is here; one without the tag is where the history is a local file."""
    if MACHINE in run.tags:
        return run.tags[MACHINE] == platform.node()
    return "sqlite" in type(instance.event_log_storage).__name__.lower()


def follow_run(context: dg.AssetExecutionContext) -> None:
    """Have a step's own process end with that of its run: where a run was killed, its slot is free for the next one."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    started = started_process(context.instance, context.run_id)
    if started is not None and parent.pid == started[0]:
        end_with_parent()


def started_process(instance: dg.DagsterInstance, run_id: str) -> tuple[int, float] | None:
    """Id of the run's process and when it was reported, seconds since the epoch, from the first event that has one."""
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT):
        metadata = entry.dagster_event.engine_event_data.metadata if entry.dagster_event else {}
        if "pid" in metadata:
            return int(str(metadata["pid"].value)), entry.timestamp
    return None


def lives(process: int, started_at: float) -> bool:
    """Whether the process that reported its id at that time (seconds since the epoch) is still running.

    Ids are reused: where the system knows when a process began, one that began later is a different process.
    """
    began = _began(process)
    return is_alive(process) and not _is_zombie(process) and (began is None or began <= started_at + SLACK_S)


def group_lives(group: int) -> bool:
    """Whether a process of the group is still running. Linux alone tells those apart that nobody has waited for."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    running = [_stat(int(path.name)) for path in Path("/proc").glob("[0-9]*")]
    states = [state for state, _, its_group, *_ in filter(None, running) if its_group == str(group)]
    return not states or any(state != "Z" for state in states)


def _stat(process: int) -> list[str]:
    """Fields of proc(5) from the state on; empty where the system has none."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _is_zombie(process: int) -> bool:
    """Whether it has ended and only its parent has not looked yet, as in a container without an init process."""
    return _stat(process)[:1] == ["Z"]


def _began(process: int) -> float | None:
    """Seconds since the epoch, on Linux; proc(5)."""
    try:
        ticks = int(_stat(process)[19])
        booted = Path("/proc/stat").read_text(encoding="utf-8").partition("btime ")[2].split()[0]
    except (OSError, LookupError, ValueError):
        return None
    return float(booted) + ticks / os.sysconf("SC_CLK_TCK")
