from __future__ import annotations

import signal
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
        if ui.processes():
            ui.kill()
