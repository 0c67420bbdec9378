from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.home import SETTINGS, make_home
from spn4cir_core.errors import InputError


def runs_in(home: Path) -> int:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        return instance.get_runs_count()


def test_many_at_once_make_one_sound_home(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: make_home(tmp_path / "a" / "home"), range(4))) == {tmp_path / "a" / "home"}
    assert (tmp_path / "a" / "home" / "dagster.yaml").read_text() == SETTINGS.read_text()
    assert runs_in(tmp_path / "a" / "home") == 0


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    make_home(tmp_path)
    assert (tmp_path / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"
    assert runs_in(tmp_path) == 0


def test_settings_with_a_storage_elsewhere_are_written_and_that_is_left_to_its_server(tmp_path: Path) -> None:
    more = tmp_path / "more.yaml"
    more.write_text("storage: {postgres: {postgres_url: nowhere}}\n")
    home = make_home(tmp_path / "home", [more])
    assert (home / "dagster.yaml").read_text() == SETTINGS.read_text() + more.read_text()
    assert not (home / "history").exists()


def test_where_no_home_can_be_made_one_error_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot make Dagster's home .*file.*name a folder you may write"):
        make_home(tmp_path / "file")


def test_the_command_prints_the_path_alone_so_that_a_shell_can_export_it(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "spn4cir_core.cli.app", "dagster-home", "here"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path / 'here'}\n" and (tmp_path / "here" / "dagster.yaml").is_file()
