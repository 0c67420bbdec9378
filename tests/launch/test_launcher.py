"""Stages in processes of their own: the same bytes, one clear error, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.embeddings.base import ImageEncoder
from spn4cir_core.embeddings.stage import IMAGE_EMBEDDINGS
from spn4cir_core.errors import InputError, LaunchError, RecipeError, Spn4cirError
from spn4cir_core.flow import STAGES
from spn4cir_core.images.stage import IMAGES
from spn4cir_core.launch.launcher import Launch, launch_from
from spn4cir_core.launch.messages import LaunchFolder
from spn4cir_core.launch.run_flow import run
from spn4cir_core.recipe import Recipe, load_recipe, packaged_recipes
from spn4cir_core.store.artifacts import Store
from tests.pipelines import toml_of

ROOT = Path(__file__).parents[2]
TWO = Launch(processes=2)


class Corners(ImageEncoder):
    """The picture at 4×4 pixels, after a pause; process 1 may have a fault or be killed."""

    pause_s: float = 0.0
    faulty: bool = False
    killed: bool = False

    def fingerprint(self) -> str:
        return "corners"

    def start(self) -> Callable[[Sequence[Image.Image]], np.ndarray]:
        if self.faulty and os.environ.get("RANK") == "1":
            raise InputError("process 1 has no weights")

        def encode(images: Sequence[Image.Image]) -> np.ndarray:
            time.sleep(self.pause_s)
            if self.killed and os.environ.get("RANK") == "1":
                os.kill(os.getpid(), signal.SIGKILL)
            return np.stack([np.asarray(image.resize((4, 4)), np.float32).ravel() for image in images])

        return encode


def tables(root: Path, **encoder: Any) -> dict[str, Any]:
    return {
        "name": "spread",
        "images": {"reader": {"kind": "folder", "folder": str(root / "pictures")}},
        "image_embeddings": {
            "encoder": {"kind": "tests.launch.test_launcher:Corners", **encoder},
            "batch_rows": 2,
            "shard_rows": 2,
        },
    }


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Thirty pictures; launched processes find this module and no GPU."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (tmp_path / "pictures").mkdir()
    for number in range(30):
        pixels = np.random.default_rng(number).integers(1, 200, (12, 12, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number:02d}.png")
    return tmp_path


def embed(root: Path, store: str, launch: Launch, **encoder: Any) -> dict[str, Any]:
    """The embeddings' files with their checksums."""
    recipe = load_recipe("demo", tables(root, **encoder))
    artifacts = run(recipe, Store(root / store), ["images", "image_embeddings"], launch=launch)
    return dict(artifacts["image_embeddings"].summary["files"])


def test_a_failing_process_ends_all_with_its_message_and_the_next_run_makes_the_bytes_of_one(pictures: Path) -> None:
    with pytest.raises(InputError, match=r"^process 1 has no weights$"):
        embed(pictures, "store", TWO, faulty=True, pause_s=0.3)
    store = Store(pictures / "store")
    assert store.current("spread", "image_embeddings") is None
    assert not list(store.root.glob("image_embeddings/[0-9a-f]*"))
    assert embed(pictures, "store", Launch()) == embed(pictures, "other", Launch())


def test_a_killed_process_ends_all_in_clear_words_and_the_next_run_makes_the_bytes_of_one(pictures: Path) -> None:
    with pytest.raises(LaunchError, match="killed for want of memory"):
        embed(pictures, "store", TWO, killed=True)
    store = Store(pictures / "store")
    assert store.current("spread", "image_embeddings") is None and not workers_on(store)
    assert embed(pictures, "store", Launch()) == embed(pictures, "other", Launch())


def test_a_killed_launcher_takes_its_processes_along_and_two_go_on_to_the_bytes_of_one(pictures: Path) -> None:
    recipe_file, store = pictures / "recipe.toml", Store(pictures / "store")
    recipe_file.write_text(toml_of({"base": "demo", **tables(pictures, pause_s=0.2)}), encoding="utf-8")
    IMAGES.run(load_recipe(recipe_file), store)
    line = ["run", "--recipe", recipe_file, "--store", store.root, "--select", "image_embeddings", "--processes", "2"]
    command = subprocess.Popen([sys.executable, "-m", "spn4cir_core.cli.app", *map(str, line)], cwd=ROOT)
    parts, deadline = store.rows("image_embeddings", "corners"), time.monotonic() + 120
    while len(list(parts.glob("part-*"))) < 3 and command.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    command.send_signal(signal.SIGKILL)
    assert command.wait() == -signal.SIGKILL, "it was to be killed amid its work"
    while workers_on(store) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not workers_on(store)
    made = embed(pictures, "store", TWO, pause_s=0.2)
    assert made == embed(pictures, "other", Launch(), pause_s=0)


def workers_on(store: Store) -> list[str]:
    """Command lines of processes that work on the store."""
    lines = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if "spn4cir_core.launch.worker" in line and str(store.root) in line]


def test_what_is_made_already_starts_no_processes(pictures: Path) -> None:
    made = embed(pictures, "store", Launch())
    recipe, store = load_recipe("demo", tables(pictures)), Store(pictures / "store")
    assert not TWO.starts(IMAGE_EMBEDDINGS, recipe, store) and TWO.is_multi_process(IMAGE_EMBEDDINGS)
    assert embed(pictures, "store", TWO) == made
    far = Launch(processes=2, machines=2, main_address="first", machine_rank=1)
    assert far.starts(IMAGE_EMBEDDINGS, recipe, store), "the other machines wait for this one"


def test_only_stages_that_say_so_are_spread() -> None:
    spread = {name for name, stage in STAGES.items() if TWO.is_multi_process(stage)}
    assert {"captions", "image_embeddings"} <= spread
    assert not spread & {"images", "splits", "pairs", "triplets", "eval_report", "search_index"}
    assert not any(Launch().is_multi_process(stage) for stage in STAGES.values())


def test_the_command_names_what_each_machine_needs(tmp_path: Path) -> None:
    launch = Launch(processes=4, machines=2, machine_rank=1, main_address="gpu0", main_port=29511)
    line = " ".join(launch.command("a.worker", IMAGE_EMBEDDINGS, Store(tmp_path), LaunchFolder(tmp_path / "told")))
    assert "--num_processes 8 --num_machines 2 --machine_rank 1 --main_process_port 29511" in line
    assert "--main_process_ip gpu0" in line and "--multi_gpu" in line
    assert line.endswith(f"--store {tmp_path} --stage image_embeddings --folder {tmp_path}/told")
    alone = Launch(launcher="accelerate")
    assert "--multi_gpu" not in alone.command("a", IMAGE_EMBEDDINGS, Store(tmp_path), LaunchFolder(tmp_path))


def test_settings_come_from_the_environment_and_a_given_one_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launch_from({}) == Launch()
    monkeypatch.setenv("SPN4CIR_PROCESSES", "3")
    monkeypatch.setenv("SPN4CIR_LAUNCHER", "")
    assert launch_from({}).processes == 3 and launch_from({"processes": 2}).processes == 2
    for values, says in [
        ({"processes": 0}, "processes"),
        ({"launcher": "inline"}, "one process"),
        ({"machines": 2}, "main_address"),
        ({"machine_rank": 1}, "counts from 0"),
        ({"launcher": "slurm"}, "slurm"),
    ]:
        with pytest.raises(RecipeError, match=says):
            launch_from(values)


@pytest.mark.parametrize("name", sorted(packaged_recipes()))
def test_a_launched_process_gets_the_very_recipe(name: str, tmp_path: Path) -> None:
    overrides = {"images": {"reader": {"kind": "folder", "folder": str(tmp_path)}}} if name != "demo" else {}
    recipe = load_recipe(name, overrides)
    with LaunchFolder.made(recipe) as folder:
        assert Recipe.model_validate_json(folder.recipe_file.read_text()) == recipe
    assert not folder.path.exists()


def test_messages_reach_the_one_who_launched(caplog: pytest.LogCaptureFixture) -> None:
    messages: list[tuple[str, int, int]] = []
    with LaunchFolder.made(load_recipe("demo")) as folder:
        with folder.passed_on(lambda label, done, total: messages.append((label, done, total))):
            writer = folder.writer()
            import logging

            logger = logging.getLogger("spn4cir_core.test")
            logger.addHandler(writer)
            for number in range(5):
                writer("work", number, 5)
            logger.propagate = False
            logger.warning("mind the %s", "gap")
            logger.removeHandler(writer)
            logger.propagate = True
        assert messages == [("work", number, 5) for number in range(5)]
        assert "mind the gap" in caplog.text


def test_the_first_error_is_the_cause_and_keeps_its_class() -> None:
    with LaunchFolder.made(load_recipe("demo")) as folder:
        assert folder.first_error() is None
        try:
            raise ZeroDivisionError("a bug")
        except ZeroDivisionError as error:
            folder.record(error, 1)
        folder.record(Spn4cirError("later"), 0)
        first = folder.first_error()
    assert type(first) is LaunchError and "process 1 failed" in str(first) and "a bug" in str(first)
