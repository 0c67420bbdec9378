"""MoCo's key encoder, alone and in the loop (its resume: tests/training/test_loop_options.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from spn4cir_core.backbones.small.settings import Small
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training import train_stage
from spn4cir_core.training.checkpoints import as_module, read_metrics
from spn4cir_core.training.momentum_targets import MomentumTargets
from spn4cir_core.training.stages import STAGE1_CHECKPOINT

World = Callable[..., tuple[Recipe, Store]]


def tiny(seed: int = 0) -> Any:
    return Small(dim=16).build(["red", "blue"], seed)


def test_the_copy_is_the_moving_average_of_what_is_trained() -> None:
    network = tiny()
    network.image.requires_grad_(False)
    start = {name: value.clone() for name, value in network.state_dict().items()}
    targets = MomentumTargets(network, 0.75)
    expected, random = dict(start), torch.Generator().manual_seed(0)
    for _ in range(3):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=random))
        targets.after_step()
        now = network.state_dict()
        expected = {name: 0.75 * value + 0.25 * now[name] for name, value in expected.items()}
    weights = as_module(targets.network).state_dict()
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained and trained == targets.state().keys()
    for name, value in weights.items():
        torch.testing.assert_close(value, expected[name] if name in trained else start[name])
    assert not any(parameter.requires_grad for parameter in as_module(targets.network).parameters())
    again = MomentumTargets(tiny(1), 0.75)
    again.restore({name: value for name, value in targets.state().items() if name in again.state()})
    assert all(torch.equal(again.state()[name], value) for name, value in targets.state().items())


def test_targets_and_the_queue_are_the_averages_and_no_gradient_passes_through_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = {"kind": "memory_queue", "size": 8, "momentum": 0.5}
    recipe, store = world(stage1={"objective": queue, "steps": 3, "learning_rate": 0.05})
    step_of, seen = train_stage._Loop._step, list[tuple[np.ndarray, np.ndarray]]()

    def watched(self: train_stage._Loop, number: int) -> dict[str, Any]:
        batches, training = self.steps.batches, self.training
        assert batches.momentum is not None
        drawn = training.triplets.batch(training.seed, training.name, number, self.steps.batch_size)
        with torch.no_grad():
            pictures = torch.from_numpy(training.inputs[drawn.targets_B])
            slow = batches.momentum.network.encode_target(pictures).numpy()
            own = training.network.encode_target(pictures).numpy()
        line = step_of(self, number)
        queued = batches.memory["memory_queue_vectors"].numpy()[-len(slow) :]
        np.testing.assert_allclose(queued, slow, atol=1e-6)
        seen.append((slow, own))
        return line

    monkeypatch.setattr(train_stage._Loop, "_step", watched)
    lines = read_metrics(STAGE1_CHECKPOINT.run(recipe, store)[0])
    np.testing.assert_allclose(*seen[0], atol=1e-6)
    assert not np.allclose(*seen[2], atol=1e-4), "the average lags behind"
    plain, _ = world(stage1={"objective": {**queue, "momentum": None}, "steps": 3, "learning_rate": 0.05})
    monkeypatch.undo()
    others = read_metrics(STAGE1_CHECKPOINT.run(plain, store)[0])
    assert lines[0]["loss"] == pytest.approx(others[0]["loss"], rel=1e-6)
    assert lines[0]["gradient_norm"] != pytest.approx(others[0]["gradient_norm"], rel=1e-3), "targets give none"
