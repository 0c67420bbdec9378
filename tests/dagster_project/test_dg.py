"""The successor of the command ``dagster`` works on this project, and ``triplets+`` means the same there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spn4cir_core.flow import downstream_of
from tests.dagster_project.executed_jobs import coloured_corpus

pytest.importorskip("dagster_dg_cli", reason="comes with the extra dg")
ROOT = Path(__file__).parents[2]


def dg(*words: str, folder: Path, recipe: str = "demo") -> str:
    """Standard output and error of a command in a folder that holds this project's files."""
    for name in ("pyproject.toml", "dagster_project", "spn4cir_core"):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    own = {key: value for key, value in os.environ.items() if not key.startswith(("DAGSTER", "SPN4CIR", "DG_"))}
    given = {"SPN4CIR_RECIPE": recipe, "SPN4CIR_STORE": str(folder / "store"), "DAGSTER_DISABLE_TELEMETRY": "1"}
    given |= {"PYTHONPATH": str(ROOT), "HOME": str(folder)}
    line = [sys.executable, "-c", "from dagster_dg_cli.cli import main; main()", *words]
    done = subprocess.run(line, cwd=folder, env=own | given, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_definitions_pass_its_check(tmp_path: Path) -> None:
    assert "All definitions loaded successfully" in dg("check", "defs", folder=tmp_path)


def test_triplets_plus_is_everything_downstream(tmp_path: Path) -> None:
    printed = dg("list", "defs", "--assets", "triplets+", "--json", folder=tmp_path)
    assets = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])["assets"]
    assert {asset["asset_key"] for asset in assets} == {"triplets"} | downstream_of("triplets")


def test_a_launch_says_what_it_has_done(tmp_path: Path) -> None:
    recipe = str(coloured_corpus(tmp_path / "corpus"))
    assert "computed:     images\n" in dg("launch", "--assets", "images", folder=tmp_path, recipe=recipe)
    assert "up to date:   images\n" in dg("launch", "--assets", "images", folder=tmp_path, recipe=recipe)
