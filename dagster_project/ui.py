"""Dagster's UI with its daemon, on a home of its own: ``python -m dagster_project.ui [options of dagster dev]``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import dagster as dg

from dagster_project.home import home_folder, make_home
from dagster_project.recorded_artifacts import record_artifacts
from dagster_project.resources import pipeline_from_environment
from dagster_project.run_processes import group_lives
from spn4cir_core.errors import Spn4cirError

WORKSPACE = Path(__file__).with_name("workspace.yaml")
ENDING = {signal.SIGINT, signal.SIGTERM}
PATIENCE_S, LOOK_EVERY_S = 30.0, 0.2
"""How long what is left is given to end in order, and how often it is looked at."""


def command(words: Sequence[str]) -> list[str]:
    """The command line of ``dagster dev`` for this project, on this machine only where no ``--host`` is given."""
    own = ["-w", str(WORKSPACE)]
    if not any(word in ("--host", "-h") or word.startswith("--host=") for word in words):
        own += ["--host", "127.0.0.1"]
    return [sys.executable, "-m", "dagster", "dev", *own, *words]


def main() -> None:
    """Make the home, record what is in the store, and run ``dagster dev`` until Ctrl-C or TERM."""
    try:
        os.environ["DAGSTER_HOME"] = str(make_home(home_folder()))
    except Spn4cirError as error:
        sys.exit(f"error: {error}")
    _record_artifacts()
    sys.exit(run_with_children(command(sys.argv[1:])))


def _record_artifacts() -> None:
    """A recipe or store that cannot be read is said, and does not keep the UI from opening."""
    try:
        with dg.DagsterInstance.get() as instance:
            recorded = record_artifacts(instance, pipeline_from_environment())
    except Spn4cirError as error:
        print(f"warning: the UI shows only what Dagster made itself: {error}", file=sys.stderr)
        return
    if recorded:
        print(f"recorded as materialized, since the store holds them: {', '.join(recorded)}", file=sys.stderr)


def run_with_children(words: Sequence[str], patience_s: float = PATIENCE_S) -> int:
    """Run a command in a process group of its own; Ctrl-C and TERM end it, and then what is left of its group.

    ``dagster dev`` by itself is deaf to both where a script has started it in the background, and where a run is active
    it leaves the code server and that run behind. A run that is ended so fails in order, and its work is not lost.

    Returns:
        Its exit status.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # until there is a process to pass them on to
    with subprocess.Popen(words, process_group=0, preexec_fn=_hear_signals) as process:
        for number in ENDING:
            signal.signal(number, lambda *_: process.send_signal(signal.SIGINT))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        status = process.wait()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not _end_group(process.pid, number, patience_s):
            break
    return status


def _hear_signals() -> None:
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def _end_group(group: int, number: signal.Signals, patience_s: float) -> bool:
    """Signal what is left of a process group and wait for its end; whether something is left even then."""
    until = time.monotonic() + patience_s
    with suppress(ProcessLookupError):
        os.killpg(group, number)
    while group_lives(group) and time.monotonic() < until:
        time.sleep(LOOK_EVERY_S)
    return group_lives(group)


if __name__ == "__main__":
    main()
