"""A scan that is killed goes on where it stopped, and ends with the bytes of an unbroken one."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from spn4cir_core.images import stage as scan
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Store

KILLED_SCAN = """
import os, signal, sys
from spn4cir_core.store.artifacts import Store
from spn4cir_core.images import stage as scan
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.recipe import Recipe

def die(label, done, total):
    if done == 25:
        os.kill(os.getpid(), signal.SIGKILL)

scan.SHARD_FILES = 10
images = ImageSettings.model_validate({"reader": {"kind": "folder", "folder": sys.argv[1]}})
scan.IMAGES.run(Recipe.model_construct(name="test", seed=0, images=images), Store(sys.argv[2]), die)
"""


def test_a_killed_scan_goes_on_with_the_same_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(35):
        pixels = np.random.default_rng(index).integers(0, 255, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:03d}.png")
    command = [sys.executable, "-c", KILLED_SCAN, str(folder), str(tmp_path / "killed")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    parts = sorted((tmp_path / "killed" / "rows" / "file_findings").rglob("part-*.parquet"))
    assert [pq.read_metadata(part).num_rows for part in parts] == [10, 10]
    images = ImageSettings.model_validate({"reader": {"kind": "folder", "folder": folder}})
    recipe = Recipe.model_construct(name="test", seed=0, images=images)
    resumed, unbroken = (scan.IMAGES.run(recipe, Store(tmp_path / name))[0] for name in ("killed", "unbroken"))
    assert resumed.fingerprint == unbroken.fingerprint
    assert resumed.summary["files"] == unbroken.summary["files"]
