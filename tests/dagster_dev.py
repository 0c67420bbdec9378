"""A live ``dagster dev``: the web server and the daemon on a home of their own, asked over GraphQL."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
STOP_S = 60
SLOW_MACHINE = "code_servers:\n  local_startup_timeout: 1800\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(ask: Callable[[], Any], seconds: float = 120) -> Any:
    """The first true answer; fails when none comes in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            answer = ask()
        except OSError:
            answer = None
        if answer:
            return answer
        time.sleep(0.5)
    raise AssertionError("no answer in time")


def ignore_ctrl_c() -> None:
    """What a script's background job inherits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def reset_signals() -> None:
    """What a shell's background job inherits would make the servers deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class DagsterDev:
    """Started by :meth:`start`, as often as it was stopped or killed; the home and its history stay."""

    def __init__(self, folder: Path, recipe: Path, store: Path, root: Path = ROOT, **environment: str) -> None:
        self.port, self.home, self.root, self.log = free_port(), folder / "home", root, folder / "dagster.log"
        self.home.mkdir()
        shipped = (root / "dagster.yaml").read_text(encoding="utf-8")
        (self.home / "dagster.yaml").write_text(shipped + SLOW_MACHINE, encoding="utf-8")
        own = {key: value for key, value in os.environ.items() if not key.startswith(("DAGSTER", "SPN4CIR"))}
        given = {"DAGSTER_HOME": self.home, "SPN4CIR_RECIPE": recipe, "SPN4CIR_STORE": store, "PYTHONPATH": root}
        self.environment = {**own, **{name: str(value) for name, value in given.items()}, **environment}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(
        self,
        patience_s: float = 120,
        program: Sequence[str] = ("-m", "dagster", "dev", "-w", "workspace.yaml"),
        signals: Callable[[], None] = reset_signals,
    ) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, "--host", "127.0.0.1", "--port", str(self.port)],
                cwd=self.root,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=signals,
            )
        eventually(lambda: urllib.request.urlopen(f"{self.url}/server_info", timeout=5).status == 200, patience_s)

    def ask(self, query: str, variables: Mapping[str, Any] | None = None) -> Any:
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            response = json.load(answer)
        assert "errors" not in response, response["errors"]
        return response["data"]

    def statuses(self) -> list[str]:
        return [
            run["status"]
            for run in self.ask("{runsOrError {... on Runs {results {status}}}}")["runsOrError"]["results"]
        ]

    def wait_until_gone(self) -> None:
        """As Ctrl-C does, or after what has been killed has brought it down; kills what does not end."""
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.wait_until_gone()

    def processes(self) -> dict[int, str]:
        """What still runs of it, id and command line: all in its session, read from proc(5)."""
        lines = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.process.pid and state != "Z":
                    lines[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
        return lines

    def kill(self) -> None:
        """As a power cut: all of its processes at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_S)
