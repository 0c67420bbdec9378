from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dagster_project.ui import command
from tests.dagster_dev import DagsterDev, eventually, ignore_ctrl_c
from tests.pipelines import tiny_recipe_file

PATIENCE_S = 600


def test_it_listens_on_this_machine_only_unless_a_host_is_given() -> None:
    assert command([])[-2:] == ["--host", "127.0.0.1"]
    assert command(["--host", "0.0.0.0"]).count("--host") == 1
    assert "127.0.0.1" not in command(["-h", "0.0.0.0"]) and "127.0.0.1" not in command(["--host=::"])
    assert command(["--port", "3001"])[-2:] == ["--port", "3001"]


CHILD = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {CHILD!r}]); sys.exit(3)"


def test_what_a_command_leaves_behind_is_ended_even_if_it_is_deaf() -> None:
    reading, writing = os.pipe()
    words = [sys.executable, "-c", PARENT]
    program = f"import sys; from dagster_project.ui import run_with_children as run; sys.exit(run({words!r}, 1.0))"
    done = subprocess.run([sys.executable, "-c", program], stdout=writing, check=False)
    os.close(writing)
    assert done.returncode == 3 and os.read(reading, 1) == b"", "nobody holds the other end any more"
    os.close(reading)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not list its processes there")
def test_term_ends_it_with_all_its_children_even_as_a_scripts_background_job(tmp_path: Path) -> None:
    ui = DagsterDev(tmp_path, tiny_recipe_file(tmp_path), tmp_path / "store")
    try:
        ui.start(PATIENCE_S, ("-m", "dagster_project.ui"), ignore_ctrl_c)
        assert len(ui.processes()) >= 4, "server, daemon, code server, and what has started them"
        ui.process.send_signal(signal.SIGTERM)
        assert ui.process.wait(PATIENCE_S) == 0
        eventually(lambda: not ui.processes(), PATIENCE_S)
    finally:
        for process in ui.processes():
            os.kill(process, signal.SIGKILL)
