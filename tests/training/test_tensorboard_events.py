from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.errors import MissingExtra, StoreError
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training import train_stage
from spn4cir_core.training.checkpoints import read_metrics
from spn4cir_core.training.stages import STAGE1_CHECKPOINT
from spn4cir_core.training.tensorboard_events import export_events, write_events

World = Callable[..., tuple[Recipe, Store]]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events: Any = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_every_number_of_a_finished_training_and_of_one_under_way(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, store = world()
    with pytest.raises(StoreError, match="has trained nothing"):
        export_events([STAGE1_CHECKPOINT], recipe, store, tmp_path / "runs")
    step_of = train_stage._Loop._step

    def broken(self: train_stage._Loop, number: int) -> dict[str, Any]:
        if number == 5:
            raise KeyboardInterrupt
        return step_of(self, number)

    monkeypatch.setattr(train_stage._Loop, "_step", broken)
    with pytest.raises(KeyboardInterrupt):
        STAGE1_CHECKPOINT.run(recipe, store)
    (under_way,) = export_events([STAGE1_CHECKPOINT], recipe, store, tmp_path / "runs").items()
    assert under_way[1] == 4
    monkeypatch.undo()
    artifact = STAGE1_CHECKPOINT.run(recipe, store)[0]
    assert export_events([STAGE1_CHECKPOINT], recipe, store, tmp_path / "runs") == {under_way[0]: 7}
    curves = scalars(tmp_path / "runs" / under_way[0])
    assert curves.keys() == {"epoch", "loss", "gradient_norm", "learning_rate", "temperature"}
    for name, values in curves.items():
        assert values == [(line["step"], pytest.approx(line[name])) for line in read_metrics(artifact)]


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "torch.utils.tensorboard":
            raise ImportError(name)
        return really(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"spn4cir\[tensorboard\]"):
        write_events([{"step": 1, "loss": 0.0}], tmp_path)
