from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spn4cir_core.engine.processes import Processes
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training.checkpoints import load_checkpoint, read_metrics
from spn4cir_core.training.collectives import own_part
from spn4cir_core.training.stages import CANDIDATE_BANK, STAGE1_CHECKPOINT, STAGE2_CHECKPOINT
from spn4cir_core.training.validation import RECALLS

STAGES = (STAGE1_CHECKPOINT, CANDIDATE_BANK, STAGE2_CHECKPOINT)
TABLES: dict[str, Any] = {
    "stage1": {
        "learning_rate": 1e-3,
        "batch_size": 5,
        "chunk_size": 2,
        "objective": {"kind": "negative_types"},
        "validation": {"every_steps": 3},
    },
    "stage2": {
        "learning_rate": 1e-3,
        "batch_size": 5,
        "objective": {"kind": "bank", "in_batch_weight": 0.3},
        "target": {"kind": "following", "momentum": 0.5, "refresh_every_epochs": 1.0},
    },
}


def start(store: Store, rank: int, port: int) -> subprocess.Popen[bytes]:
    position = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    environment = os.environ | {name: str(value) for name, value in position.items()} | {"MASTER_ADDR": "127.0.0.1"}
    script = Path(__file__).parent / "train_together.py"
    command = [sys.executable, str(script), str(store.root), json.dumps(TABLES)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def test_two_processes_train_as_one(world: Callable[..., tuple[Recipe, Store]], tmp_path: Path) -> None:
    recipe, store = world(validation=6, **TABLES)
    import shutil

    together = Store(tmp_path / "together")
    shutil.copytree(store.root, together.root)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workers = [start(together, rank, port) for rank in range(2)]
    alone = {stage.name: stage.run(recipe, store)[0] for stage in STAGES}
    for worker in workers:
        _, said = worker.communicate(timeout=240)
        assert worker.returncode == 0, said.decode()[-3000:]
    for name in ("stage1_checkpoint", "stage2_checkpoint"):
        shared = together.current("tiny", name)
        assert shared is not None and shared.summary["files"].keys() == alone[name].summary["files"].keys()
        ours, theirs = read_metrics(shared), read_metrics(alone[name])
        for key in ("loss", "gradient_norm", "temperature"):
            np.testing.assert_allclose([line[key] for line in ours], [line[key] for line in theirs], rtol=1e-5)
        assert [line.get(RECALLS[1]) for line in ours] == [line.get(RECALLS[1]) for line in theirs]
        one, two = (load_checkpoint(artifact).network.state_dict() for artifact in (alone[name], shared))  # type: ignore[attr-defined]
        for key, tensor in one.items():
            torch.testing.assert_close(two[key], tensor, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("rows", "count"), [(10, 1), (10, 3), (2, 5), (0, 2)])
def test_parts_are_disjoint_cover_the_batch_and_differ_by_a_row_at_most(rows: int, count: int) -> None:
    parts = [own_part(rows, Processes(rank, count)) for rank in range(count)]
    assert [position for part in parts for position in part] == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
