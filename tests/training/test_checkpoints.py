from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from spn4cir_core.errors import RecipeError, StoreError
from spn4cir_core.models.devices import choose_device
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.draft import Draft
from spn4cir_core.training import checkpoints
from spn4cir_core.training.adamw import AdamW
from spn4cir_core.training.checkpoints import Resume, same_networks
from spn4cir_core.training.stages import STAGE1_CHECKPOINT


def make_training() -> tuple[nn.Module, torch.Tensor, AdamW]:
    torch.manual_seed(0)
    network, log_temperature = nn.Linear(3, 2), torch.tensor(-3.0, requires_grad=True)
    groups = [{"params": [*network.parameters(), log_temperature], "weight_decay": 0.01}]
    return network, log_temperature, AdamW(groups, lr=0.1, betas=(0.9, 0.999), eps=1e-8)


def step(network: nn.Module, log_temperature: torch.Tensor, optimiser: AdamW) -> None:
    optimiser.zero_grad()
    (network(torch.ones(1, 3)).sum() ** 2 + log_temperature**2).backward()
    optimiser.step()


def test_a_kept_state_goes_on_exactly_where_it_stopped(tmp_path: Path) -> None:
    resume, unbroken = Resume(Draft(tmp_path)), make_training()
    for _ in range(3):
        step(*unbroken)
    extras = {"memory": {"queue": torch.arange(3)}, "average": {}}
    resume.save(*unbroken, [{"step": number} for number in (1, 2, 3)], extras)
    resumed = make_training()
    restored = resume.load(*resumed)
    assert restored.metrics == [{"step": 1}, {"step": 2}, {"step": 3}]
    assert restored.extras.keys() == {"memory"} and restored.extras["memory"]["queue"].tolist() == [0, 1, 2]
    for _ in range(3):
        step(*unbroken)
        step(*resumed)
    for ours, theirs in zip(unbroken[0].parameters(), resumed[0].parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(unbroken[1], resumed[1])


def test_metrics_written_after_the_kept_state_are_forgotten(tmp_path: Path) -> None:
    resume, training = Resume(Draft(tmp_path)), make_training()
    step(*training)
    resume.save(*training, [{"step": 1}])
    with (tmp_path / "resume" / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 2}\n')
    assert resume.load(*make_training()).metrics == [{"step": 1}]


def test_a_damaged_state_is_one_clear_error(tmp_path: Path) -> None:
    resume, training = Resume(Draft(tmp_path)), make_training()
    step(*training)
    resume.save(*training, [{"step": 1}])
    state = tmp_path / "resume" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:40])
    with pytest.raises(StoreError, match="is damaged"):
        resume.load(*make_training())


def test_a_full_disk_is_one_clear_error_and_nothing_is_published(
    world: Callable[..., tuple[Recipe, Store]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import safetensors.torch
    from safetensors import SafetensorError

    def full(*arguments: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    recipe, store = world()
    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(StoreError, match="cannot write stage1_checkpoint"):
        STAGE1_CHECKPOINT.run(recipe, store)
    assert store.current("tiny", "stage1_checkpoint") is None
    monkeypatch.undo()
    assert set(STAGE1_CHECKPOINT.run(recipe, store)[0].summary["files"]) == {
        checkpoints.WEIGHTS,
        checkpoints.NETWORK,
        checkpoints.METRICS,
    }


def test_an_unknown_device_is_one_clear_error() -> None:
    with pytest.raises(RecipeError, match="device = 'abacus' cannot be used here"):
        choose_device("abacus")


@pytest.mark.parametrize(
    ("control", "stage2", "expected"),
    [
        ("trained", "trained", {"stage1": "stage1", "control": "control", "stage2": "stage2"}),
        ("start", "trained", {"stage1": "stage1", "control": "stage1", "stage2": "stage2"}),
        ("trained", "start", {"stage1": "stage2", "control": "control", "stage2": "stage2"}),
        ("start", "start", {"stage1": "stage2", "control": "stage2", "stage2": "stage2"}),
        (None, None, {"stage1": "stage1", "control": "control", "stage2": "stage2"}),
    ],
)
def test_a_stage_that_did_not_help_is_the_network_it_started_from(
    tmp_path: Path, control: str | None, stage2: str | None, expected: dict[str, str]
) -> None:
    weights = {"stage1_checkpoint": "start", "control_checkpoint": control, "stage2_checkpoint": stage2}
    made = {
        noun: Artifact(noun, tmp_path, {"details": {"validation": {"weights": own}} if own else {}})
        for noun, own in weights.items()
    }
    assert same_networks(made) == expected
