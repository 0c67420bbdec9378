"""kill -9 at random moments of the whole pipeline: nothing is lost, nothing half-read, the same bytes in the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from spn4cir_core.flow import STAGES
from spn4cir_core.store.artifacts import Artifact, Store
from tests.pipelines import tiny_recipe_file

ROOT = Path(__file__).parents[1]
KILLS = int(os.environ.get("SPN4CIR_TEST_KILLS", "3"))
SHARD_ROWS = 16
SEED = os.environ.get("SPN4CIR_TEST_SEED", "0")


IN_SHARDS = ("captioning", "embedding images")
"""Of these a kill costs one shard at most."""


def bytes_of(artifact: Artifact) -> tuple[str, dict[str, Any]]:
    artifact.verify()
    return artifact.fingerprint, {key: artifact.summary[key] for key in ("files", "rows", "drops")}


def test_a_pipeline_killed_at_random_moments_ends_with_the_bytes_of_an_unbroken_one(tmp_path: Path) -> None:
    shards = {"batch_rows": SHARD_ROWS, "shard_rows": SHARD_ROWS}
    recipe = tiny_recipe_file(tmp_path, captions=shards, image_embeddings=shards)
    command = [sys.executable, str(Path(__file__).parent / "run_until_killed.py")]
    done = subprocess.run(
        [*command, str(tmp_path / "store"), str(recipe), str(KILLS), SEED],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    events, *runs, counted = done.stdout.splitlines()
    counts = json.loads(counted)
    print(counts)  # pytest -s shows it
    assert counts["kills"] == KILLS and counts["lost"] == 0
    assert all(counts["redone"].get(label, 0) <= KILLS * SHARD_ROWS for label in IN_SHARDS)
    assert int(events) > 100 and len([line for line in runs if line.startswith("-9 ")]) == KILLS
    unbroken = Store(tmp_path / "store-unbroken")
    rounds = sorted(tmp_path.glob("store-[0-9]*"))
    assert len(rounds) == len(runs) - KILLS >= 1
    for broken in map(Store, rounds):
        for name in STAGES:
            one, other = broken.current("tiny", name), unbroken.current("tiny", name)
            assert one is not None and other is not None and bytes_of(one) == bytes_of(other), f"{name} after {runs}"
        assert not list(broken.root.glob("*/.*.draft"))
