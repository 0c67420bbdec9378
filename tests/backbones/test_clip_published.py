"""Checkpoint files in the layouts in which CLIP4CIR and TG-CIR were published, written from small models."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from spn4cir_core.backbones.base import BACKBONES, Backbone
from spn4cir_core.backbones.published import load_published, read_published
from spn4cir_core.errors import InputError, RecipeError
from tests.backbones.small_backbones import TINY_RESNET, write_clip

SmallTable = Callable[[str], dict[str, Any]]
Tensors = dict[str, torch.Tensor]
CASES = [("clip4cir", 1), ("clip4cir", 2), ("tgcir", 1), ("tgcir", 2)]


def moved(made: Backbone, stage: int) -> Any:
    """A network of other weights than the folder's."""
    network: Any = made.build([], 0)
    if stage == 2:
        network.untie_query_encoder()
    generator = torch.Generator().manual_seed(stage)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.add_(1 if tensor.dtype == torch.int64 else torch.randn(tensor.shape, generator=generator))
    return network


def as_tgcir_wrote(network: Any) -> Tensors:
    state: Tensors = network.state_dict()
    written = {
        f"backbone.{name}": value for name, value in state.items() if name.startswith(("clip.", "fc.", "text_fc."))
    }
    written |= {
        name.replace("clip.visual.", "backbone.image_backbone."): value
        for name, value in state.items()
        if name.startswith("clip.visual.")
    }
    written |= {name: value for name, value in state.items() if name.startswith("s_remain_map.")}
    for end in ("", "_text"):
        if f"masks{end}" in state:
            written[f"backbone.masks{end}"] = state[f"masks{end}"]
            weights, biases = (state[f"tokenlearn{end}.weigh.{part}"] for part in ("weight", "bias"))
            for number, (row, bias) in enumerate(zip(weights, biases, strict=True)):
                written[f"backbone.tokenlearn{end}.maps.{number}.0.weight"] = row.reshape(1, -1, 1, 1)
                written[f"backbone.tokenlearn{end}.maps.{number}.0.bias"] = bias[None]
    original = {
        "t_s_remain_map.0.weight": torch.ones(2, 2),
        "local_weight": torch.ones(1),
        "loss_T": torch.tensor([10.0]),
    }
    return written | original


def content(kind: str, stage: int, network: Any) -> dict[str, Any]:
    if kind == "tgcir":
        return {"state_dict": as_tgcir_wrote(network)} | ({"epoch": 3} if stage == 2 else {})
    whole = {name: value for name, value in network.state_dict().items() if name.startswith("clip.")}
    if stage == 2:
        return {"epoch": 2, "state_dict": whole}
    return {"epoch": 9, "CLIP": {name.removeprefix("clip."): value for name, value in whole.items()}}


def key_of(whole: dict[str, Any]) -> str:
    return "CLIP" if "CLIP" in whole else "state_dict"


@pytest.mark.parametrize(("kind", "stage"), CASES)
def test_every_tensor_of_a_published_file_arrives(
    small_table: SmallTable, tmp_path: Path, kind: str, stage: int
) -> None:
    made = BACKBONES.build({**small_table(kind)} | ({"local_tokens": 11} if kind == "tgcir" else {}))
    written = moved(made, stage)
    torch.save(content(kind, stage, written), tmp_path / "best.pt")
    network, account = load_published(tmp_path / "best.pt", made, [], 0)
    assert isinstance(network, torch.nn.Module)
    weights, expected = network.state_dict(), written.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert account.layout == f"stage {stage} of {kind}" and not account.fresh


def test_the_scale_that_the_original_learns_is_ignored_with_a_reason(small_table: SmallTable, tmp_path: Path) -> None:
    made = BACKBONES.build(small_table("tgcir"))
    torch.save(content("tgcir", 1, moved(made, 1)), tmp_path / "stage1.pt")
    _, account = load_published(tmp_path / "stage1.pt", made, [], 0)
    assert "temperature" in account.ignored["loss_T"]


@pytest.mark.parametrize("stage", [1, 2])
def test_a_teacher_starts_anew_beside_a_published_file(small_table: SmallTable, tmp_path: Path, stage: int) -> None:
    table = small_table("tgcir")
    written, made = moved(BACKBONES.build(table), stage), BACKBONES.build(table | {"teacher": True})
    torch.save(content("tgcir", stage, written), tmp_path / "best.pt")
    network, account = load_published(tmp_path / "best.pt", made, [], 0)
    weights, expected = network.state_dict(), written.state_dict()  # type: ignore[attr-defined]
    assert {*account.fresh} == weights.keys() - expected.keys() and account.fresh[0].startswith("teacher.")
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_a_resnet_in_half_precision_arrives_with_its_running_statistics(tmp_path: Path) -> None:
    made = BACKBONES.build({"kind": "clip4cir", "model": str(write_clip(tmp_path / "clip", **TINY_RESNET))})
    whole = content("clip4cir", 1, moved(made, 1))
    halves = {name: value.half() if value.is_floating_point() else value for name, value in whole["CLIP"].items()}
    halves |= {
        "input_resolution": torch.tensor(64),
        "context_length": torch.tensor(77),
        "vocab_size": torch.tensor(49408),
    }
    torch.save({"epoch": 1, "CLIP": halves}, tmp_path / "stage1.pt")
    network, account = load_published(tmp_path / "stage1.pt", made, [], 0)
    assert isinstance(network, torch.nn.Module)
    for name, value in network.state_dict().items():
        published = halves[name.removeprefix("clip.")]
        assert value.dtype == (torch.float32 if published.is_floating_point() else torch.int64)
        assert torch.equal(value, published.to(value.dtype))
    assert account.details()["tensors_ignored"] == {"a size that the model's configuration tells": 3}
    assert account.beside == ("epoch",)


def test_the_composer_is_what_a_published_clip_has_not(small_table: SmallTable, tmp_path: Path) -> None:
    made = BACKBONES.build({**small_table("clip4cir"), "composer": {"kind": "combiner", "hidden": 8}})
    torch.save(content("clip4cir", 1, moved(made, 1)), tmp_path / "stage1.pt")
    network, account = load_published(tmp_path / "stage1.pt", made, [], 5)
    fresh: Any = made.build([], 5)
    assert isinstance(network, torch.nn.Module)
    composer = {name for name in network.state_dict() if name.startswith("composer.")}
    assert set(account.fresh) == composer
    assert all(torch.equal(network.state_dict()[name], fresh.state_dict()[name]) for name in composer)


@pytest.mark.parametrize(("kind", "stage"), CASES)
def test_one_tensor_too_few_too_many_or_of_another_shape_is_named(
    small_table: SmallTable, tmp_path: Path, kind: str, stage: int
) -> None:
    made = BACKBONES.build(small_table(kind))
    whole = content(kind, stage, moved(made, stage))
    key = key_of(whole)
    gone = next(name for name in whole[key] if name.endswith("ln_final.bias"))
    faults = {
        r"1 missing: clip\.ln_final\.bias": {name: value for name, value in whole[key].items() if name != gone},
        r"1 (tensors are )?not known: (clip\.)?unheard_of\.weight": {**whole[key], "unheard_of.weight": torch.zeros(2)},
        r"1 of another shape: clip\.ln_final\.bias \(3,\) instead of": {**whole[key], gone: torch.zeros(3)},
    }
    for number, (message, tensors) in enumerate(faults.items()):
        torch.save({**whole, key: tensors}, tmp_path / f"{number}.pt")
        with pytest.raises(InputError, match=message):
            load_published(tmp_path / f"{number}.pt", made, [], 0)


def test_what_tgcir_saves_twice_must_be_the_same_twice(small_table: SmallTable, tmp_path: Path) -> None:
    made = BACKBONES.build(small_table("tgcir"))
    tensors = as_tgcir_wrote(moved(made, 1))
    torch.save({"state_dict": {**tensors, "backbone.image_backbone.proj": torch.zeros(32, 16)}}, tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"'backbone\.image_backbone\.proj' is not the visual tower's own tensor"):
        load_published(tmp_path / "other.pt", made, [], 0)


def test_a_wrong_file_is_one_clear_error(small_table: SmallTable, tmp_path: Path) -> None:
    clip, tgcir = BACKBONES.build(small_table("clip4cir")), BACKBONES.build(small_table("tgcir"))
    torch.save(content("tgcir", 2, moved(tgcir, 2)), tmp_path / "tgcir.pt")
    with pytest.raises(
        InputError, match=r"is a checkpoint of stage 2 of tgcir, the recipe asks for backbone 'clip4cir'"
    ):
        load_published(tmp_path / "tgcir.pt", clip, [], 0)
    save_file({"layer.weight": torch.zeros(2)}, str(tmp_path / "other.safetensors"))
    known = r"1 tensors: layer\.weight .*The known ones: stage 1 of clip4cir \(CLIP: visual\..*stage 2 of sprc"
    with pytest.raises(InputError, match=known):
        load_published(tmp_path / "other.safetensors", clip, [], 0)
    with pytest.raises(InputError, match="no checkpoint file"):
        load_published(tmp_path / "none.pt", clip, [], 0)
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    with pytest.raises(InputError, match=r"top-level keys epoch none hold tensors"):
        load_published(tmp_path / "empty.pt", clip, [], 0)
    with pytest.raises(RecipeError, match="'small' has no published checkpoint files"):
        load_published(tmp_path / "tgcir.pt", BACKBONES.build("small"), [], 0)


class Trap:
    """What a malicious file would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("sprung"),))


def test_nothing_in_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"CLIP": {"visual.x": torch.zeros(1)}, "trap": Trap()}, tmp_path / "trap.pt")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole_model.pt")
    for name in ("trap.pt", "whole_model.pt"):
        with pytest.raises(InputError, match="would execute code") as caught:
            read_published(tmp_path / name)
        assert re.search(re.escape(name), str(caught.value))
    assert not (tmp_path / "sprung").exists()
    (tmp_path / "torn.pt").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(InputError, match="is no weight file"):
        read_published(tmp_path / "torn.pt")
