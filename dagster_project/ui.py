"""Dagster's UI with its daemon, on a home of its own: ``python -m dagster_project.ui [options of dagster dev]``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from dagster_project.home import home_folder, make_home
from spn4cir_core.errors import Spn4cirError

WORKSPACE = Path(__file__).with_name("workspace.yaml")


def command(words: Sequence[str]) -> list[str]:
    """The command line of ``dagster dev`` for this project, on this machine only where no ``--host`` is given."""
    own = ["-w", str(WORKSPACE)]
    if not any(word in ("--host", "-h") or word.startswith("--host=") for word in words):
        own += ["--host", "127.0.0.1"]
    return [sys.executable, "-m", "dagster", "dev", *own, *words]


def main() -> None:
    """Make the home and become ``dagster dev``.

    A script's background job ignores Ctrl-C, and ``dagster dev`` would then ignore TERM as well: both are heard again.
    """
    try:
        os.environ["DAGSTER_HOME"] = str(make_home(home_folder()))
    except Spn4cirError as error:
        sys.exit(f"error: {error}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.execv(sys.executable, command(sys.argv[1:]))


if __name__ == "__main__":
    main()
