from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from spn4cir_core.objectives.bank_shard import BankShard
from spn4cir_core.objectives.bank_softmax import bank_softmax_losses
from spn4cir_core.objectives.hard_rows import hard_rows

SHAPES = {"vectors": (301, 16), "tokens": (60, 4, 16), "one_row": (1, 16)}
QUERIES = 9


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("rows", [0, 1, 5, 100])
def test_shards_are_disjoint_and_cover_the_bank(rows: int, count: int) -> None:
    bank = torch.arange(rows)[:, None]
    shards = [BankShard.of(bank, rank, count) for rank in range(count)]
    assert torch.equal(torch.cat([shard.vectors for shard in shards]), bank)
    assert max(len(shard.vectors) for shard in shards) - min(len(shard.vectors) for shard in shards) <= 1
    assert [int(shard.vectors[0]) for shard in shards if len(shard.vectors)] == [
        shard.first_row for shard in shards if len(shard.vectors)
    ]
    for shard in shards:
        assert torch.equal(torch.arange(rows)[shard.holds(torch.arange(rows))], shard.vectors[:, 0])


def write_case(folder: Path, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    targets = torch.randint(shape[0], (QUERIES,))
    guards = [(0, row) for row in range(shape[0] // 2) if row != targets[0]]  # one shard has nothing for query 0
    pairs = torch.tensor([*guards, (3, (int(targets[3]) + 1) % shape[0])]) if guards else torch.empty(0, 2).long()
    case = {
        "bank": normalize(torch.randn(shape), dim=-1).half(),
        "queries": normalize(torch.randn(QUERIES, shape[-1]), dim=-1),
        "targets": targets,
        "pairs": pairs,
    }
    folder.mkdir()
    for key, value in case.items():
        np.save(folder / f"{key}.npy", value.numpy())


def one_process(folder: Path) -> dict[str, np.ndarray]:
    case = {path.stem: torch.from_numpy(np.load(path)) for path in folder.glob("*.npy")}
    queries, tau = case["queries"].double().requires_grad_(True), torch.tensor(0.05).double().requires_grad_(True)
    losses = bank_softmax_losses(queries, case["bank"], case["targets"], case["pairs"], tau)
    (losses * torch.linspace(1, 2, len(losses))).sum().backward()
    assert queries.grad is not None and tau.grad is not None
    targets_B2 = torch.stack([torch.arange(QUERIES), case["targets"]], dim=1)
    hardest, live = hard_rows(queries.detach(), case["bank"], 7, torch.cat([case["pairs"], targets_B2]))
    return {
        "losses": losses.detach().numpy(),
        "gradient": queries.grad.numpy(),
        "temperature": tau.grad.numpy(),
        "hardest": hardest.masked_fill(~live, -1).numpy(),
    }


def test_two_processes_with_half_the_bank_each_find_what_one_finds(tmp_path: Path) -> None:
    for name, shape in SHAPES.items():
        write_case(tmp_path / name, shape)
    script = str(Path(__file__).with_name("sharded_bank_process.py"))
    processes = [
        subprocess.Popen([sys.executable, script, str(rank), "2", str(tmp_path), *SHAPES], stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    for name, shape in SHAPES.items():
        expected = one_process(tmp_path / name)
        halves = [np.load(tmp_path / f"{name}-{rank}.npz") for rank in range(2)]
        assert [int(half["rows"]) for half in halves] == [shape[0] // 2, shape[0] - shape[0] // 2]
        for key, wanted in expected.items():
            assert np.array_equal(halves[0][key], halves[1][key])
            assert np.linalg.norm(halves[0][key] - wanted) <= 1e-5 * max(1.0, float(np.linalg.norm(wanted))), (
                name,
                key,
            )
