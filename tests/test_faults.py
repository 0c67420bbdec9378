"""A full disk, Ctrl-C, a jumping clock, two runs at once, damaged files: clear words, and the same bytes in the end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.cli.app import INTERRUPTED, INTERRUPTED_STATUS
from spn4cir_core.flow import STAGES
from spn4cir_core.store.artifacts import Store
from tests.pipelines import tiny_recipe_file
from tests.run_with_faults import FULL_IN, INTERRUPTED_IN, SHARES_OF_THE_DISK
from tests.test_kills import bytes_of

ROOT = Path(__file__).parents[1]
Runs = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def runs(folder: Path) -> Runs:
    """All scenarios, run once."""
    shards = {"batch_rows": 16, "shard_rows": 16}
    training = {"steps": 12, "batch_size": 16}
    recipe = tiny_recipe_file(folder, captions=shards, image_embeddings=shards, stage1_checkpoint=training)
    script = str(Path(__file__).parent / "run_with_faults.py")
    done = subprocess.run(
        [sys.executable, script, str(folder), str(recipe)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    statuses: Runs = json.loads(done.stdout.splitlines()[-1])
    assert [run["status"] for run in statuses["unbroken"]] == [0], statuses["unbroken"]
    return statuses


def assert_whole(folder: Path, name: str) -> None:
    """The scenario's store has the bytes of the unbroken run, and nothing half-written."""
    broken, unbroken = Store(folder / name / "store"), Store(folder / "unbroken" / "store")
    for noun in STAGES:
        one, other = broken.current("tiny", noun), unbroken.current("tiny", noun)
        assert one is not None and other is not None and bytes_of(one) == bytes_of(other), noun
    assert not [path for path in broken.root.rglob("*") if path.name.endswith((".draft", ".tmp"))]


def last_line(run: dict[str, Any]) -> str:
    """What a person reads last on standard error."""
    return str(run["said"].strip().splitlines()[-1])


def test_an_interrupted_run_ends_with_one_line_and_goes_on_though_the_clock_jumps(folder: Path, runs: Runs) -> None:
    *broken, last = runs["clock"]
    assert [run["of"] for run in broken] == list(INTERRUPTED_IN) and last["status"] == 0, last
    for run in broken:
        assert run["status"] == INTERRUPTED_STATUS, run
        assert last_line(run) == INTERRUPTED and "Traceback" not in run["said"], run
    assert re.search(r"step [78] of 12 is saved", broken[2]["said"])
    assert_whole(folder, "clock")


def test_a_disk_that_is_full_in_any_stage_is_one_clear_error_and_room_mends_it(folder: Path, runs: Runs) -> None:
    *broken, last = runs["full"]
    assert [run["of"] for run in broken] == list(FULL_IN) and last["status"] == 0, last
    for run in broken:
        assert run["status"] == 1 and "No space left" in last_line(run), run
        assert f"error: cannot write {run['of']} into the store" in last_line(run), run
        assert "Traceback" not in run["said"], run
    assert_whole(folder, "full")


def test_two_runs_at_once_share_the_work(folder: Path, runs: Runs) -> None:
    assert [run["status"] for run in runs["two"]] == [0, 0], runs["two"]
    assert_whole(folder, "two")


def test_a_small_file_system_that_grows_and_can_then_only_be_read(folder: Path, runs: Runs) -> None:
    if not runs["small_disk"]:
        pytest.skip("no file system can be mounted here")
    *broken, whole, read_only, other = runs["small_disk"]
    assert len(broken) == len(SHARES_OF_THE_DISK) - 1
    for run in broken:
        assert run["status"] == 1 and "cannot write" in run["said"] and "Traceback" not in run["said"], run
    assert whole["status"] == 0 and read_only["status"] == 0, (whole, read_only)
    assert other["status"] == 1 and "Read-only file system" in other["said"] and "Traceback" not in other["said"]
    assert_whole(folder, "small_disk")


def test_flipped_bits_are_named_and_what_is_deleted_comes_anew(folder: Path, runs: Runs) -> None:
    vectors, part, last = runs["damaged"]
    assert vectors["status"] == 1 and f"{vectors['of']} does not match its checksum" in vectors["said"], vectors
    assert f"Delete {Path(vectors['of']).parent} and run again" in vectors["said"]
    assert part["status"] == 1 and f"{part['of']} is damaged" in part["said"], part
    assert last["status"] == 0, last
    assert_whole(folder, "damaged")
