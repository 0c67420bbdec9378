from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from spn4cir_core.backbones.base import BACKBONES
from spn4cir_core.errors import InputError
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training.checkpoints import as_module, load_network
from spn4cir_core.training.stages import STAGE1_CHECKPOINT
from tests.backbones.small_backbones import WRITERS

World = Callable[..., tuple[Recipe, Store]]


def published(table: dict[str, Any], path: Path, seed: int) -> dict[str, torch.Tensor]:
    """Write a stage-1 file of CLIP4CIR; its tensors."""
    network: Any = BACKBONES.build(table).build([], 0)
    torch.manual_seed(seed)
    tensors = {name: value + torch.randn(value.shape) * 0.1 for name, value in network.clip.state_dict().items()}
    torch.save({"epoch": 1, "CLIP": tensors}, path)
    return tensors


def test_a_published_file_is_stage_1_as_it_stands_or_is_trained_on(world: World, tmp_path: Path) -> None:
    table = WRITERS["clip4cir"](tmp_path / "weights")
    tensors = published(table, tmp_path / "stage1.pt", 0)
    given = {"backbone": table, "start_from": str(tmp_path / "stage1.pt")}
    recipe, store = world(stage1={**given, "steps": 0})
    as_it_stands = STAGE1_CHECKPOINT.run(recipe, store)[0]
    for name, value in as_module(load_network(as_it_stands)).state_dict().items():
        assert torch.equal(value, tensors[name.removeprefix("clip.")])
    account = as_it_stands.details["start_from"]
    assert account["layout"] == "stage 1 of clip4cir" and account["tensors_used"] == len(tensors)
    assert account["not_read"] == ["epoch"] and account["file"] == "stage1.pt"
    trained = STAGE1_CHECKPOINT.run(world(stage1={**given, "steps": 2})[0], store)[0]
    assert trained.fingerprint != as_it_stands.fingerprint
    state = as_module(load_network(trained)).state_dict()
    assert not torch.equal(state["clip.visual.proj"], tensors["visual.proj"])


def test_the_models_own_weights_need_not_be_there(world: World, tmp_path: Path) -> None:
    table = WRITERS["clip4cir"](tmp_path / "weights")
    tensors = published(table, tmp_path / "stage1.pt", 0)
    (tmp_path / "weights" / "clip" / "open_clip_model.safetensors").unlink()
    recipe, store = world(stage1={"backbone": table, "start_from": str(tmp_path / "stage1.pt"), "steps": 0})
    state = as_module(load_network(STAGE1_CHECKPOINT.run(recipe, store)[0])).state_dict()
    assert torch.equal(state["clip.visual.proj"], tensors["visual.proj"])
    with pytest.raises(InputError, match="no weights in"):
        STAGE1_CHECKPOINT.run(world(stage1={"backbone": table})[0], store)


@pytest.mark.parametrize("kind", ["clip4cir", "tgcir", "blip4cir", "sprc"])
def test_what_a_published_file_is_put_into_has_a_fingerprint_of_its_own(kind: str, tmp_path: Path) -> None:
    made = BACKBONES.build(WRITERS[kind](tmp_path))
    before = made.bare_fingerprint()
    for file in tmp_path.rglob("*.safetensors"):
        file.unlink()
    assert made.bare_fingerprint() == before
    with pytest.raises(InputError, match=r"no (weights|\*\.safetensors)"):
        made.fingerprint()


def test_the_bytes_of_the_file_decide_and_not_where_it_lies(world: World, tmp_path: Path) -> None:
    table = WRITERS["clip4cir"](tmp_path / "weights")
    for folder, seed in (("one", 0), ("two", 0), ("three", 1)):
        (tmp_path / folder).mkdir()
        published(table, tmp_path / folder / "stage1.pt", seed)
    marks = [
        STAGE1_CHECKPOINT.wanted(*world(stage1={"backbone": table, "start_from": str(tmp_path / folder / "stage1.pt")}))
        for folder in ("one", "two", "three")
    ]
    assert marks[0] == marks[1] != marks[2]
    assert STAGE1_CHECKPOINT.wanted(*world(stage1={"backbone": table})) not in marks


def test_a_checkpoint_of_ours_can_be_gone_on_from(world: World, tmp_path: Path) -> None:
    recipe, store = world()
    first = STAGE1_CHECKPOINT.run(recipe, store)[0]
    again, _ = world(stage1={"start_from": str(first.path), "steps": 0})
    second = STAGE1_CHECKPOINT.run(again, store)[0]
    before, after = (as_module(load_network(artifact)).state_dict() for artifact in (first, second))
    assert all(torch.equal(after[name], value) for name, value in before.items())
    other, _ = world(stage1={"start_from": str(first.path), "steps": 0, "backbone": {"kind": "small", "dim": 24}})
    with pytest.raises(InputError, match="give the recipe the same settings"):
        STAGE1_CHECKPOINT.run(other, store)


def test_what_is_not_there_is_named(world: World, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, message in (
        (tmp_path / "none.pt", "no checkpoint file or folder at"),
        (tmp_path / "empty", "has no network"),
    ):
        recipe, store = world(stage1={"start_from": str(path)})
        with pytest.raises(InputError, match=message):
            STAGE1_CHECKPOINT.run(recipe, store)
