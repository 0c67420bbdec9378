from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from spn4cir_core.errors import InputError, StoreError, TrainingError
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.checkpoints import load_checkpoint, load_network, read_metrics
from spn4cir_core.training.embed_candidates import embed_targets
from spn4cir_core.training.image_inputs import image_inputs
from spn4cir_core.training.optimisers import learning_rate
from spn4cir_core.training.settings import Stage2Settings
from spn4cir_core.training.stages import CANDIDATE_BANK, CONTROL_CHECKPOINT, STAGE1_CHECKPOINT, STAGE2_CHECKPOINT

World = Callable[..., tuple[Recipe, Store]]
ALL = (STAGE1_CHECKPOINT, CONTROL_CHECKPOINT, CANDIDATE_BANK, STAGE2_CHECKPOINT)


def run_all(recipe: Recipe, store: Store) -> dict[str, Artifact]:
    return {stage.name: stage.run(recipe, store)[0] for stage in ALL}


def bytes_of(artifact: Artifact) -> dict[str, str]:
    return {name: recorded["sha256"] for name, recorded in artifact.summary["files"].items()}


def test_a_checkpoint_holds_the_weights_the_network_and_the_metrics_and_nothing_else(world: World) -> None:
    recipe, store = world()
    artifacts = run_all(recipe, store)
    for name in ("stage1_checkpoint", "control_checkpoint", "stage2_checkpoint"):
        assert set(artifacts[name].summary["files"]) == {"model.safetensors", "network.json", "metrics.jsonl"}
        lines = read_metrics(artifacts[name])
        assert [line["step"] for line in lines] == list(range(1, 8))
        assert all(np.isfinite(line["loss"]) for line in lines)
    assert artifacts["stage1_checkpoint"].summary["rows"] == 10


def test_stage_2_changes_the_query_encoder_and_nothing_that_targets_use(world: World) -> None:
    recipe, store = world()
    artifacts = run_all(recipe, store)
    before = load_checkpoint(artifacts["stage1_checkpoint"])
    after, control = load_network(artifacts["stage2_checkpoint"]), load_network(artifacts["control_checkpoint"])
    pictures = np.stack([np.full((3, 48, 48), value, np.uint8) for value in (0, 90, 255)])
    pictures[1, :, 10:20] = 200
    np.testing.assert_array_equal(embed_targets(before.network, pictures, "cpu"), embed_targets(after, pictures, "cpu"))
    assert not np.array_equal(embed_targets(before.network, pictures, "cpu"), embed_targets(control, pictures, "cpu"))
    images, tokens = torch.from_numpy(pictures), after.tokenize(["make it red"] * 3)
    with torch.no_grad():
        assert not torch.equal(before.network.encode_query(images, tokens), after.encode_query(images, tokens))


def test_the_control_has_stage_1s_rate_and_validation_unless_it_names_its_own(world: World) -> None:
    own = {"learning_rate": 0.5, "validation": {"every_steps": 3, "keep": "best"}}
    for control, rate, validated in (({}, 2e-3, []), (own, 0.5, [3, 6, 7])):
        recipe, store = world(validation=6, control=control, stage1={"warmup_share": 0, "rate_schedule": "constant"})
        STAGE1_CHECKPOINT.run(recipe, store)
        artifact = CONTROL_CHECKPOINT.run(recipe, store)[0]
        lines = read_metrics(artifact)
        assert {line["learning_rate"] for line in lines} == {rate}
        assert [line["step"] for line in lines if "validation_recall_at_1" in line] == validated
        assert ("validation" in artifact.details) == bool(validated)
        trained = read_metrics(store.current("tiny", "stage1_checkpoint"))  # type: ignore[arg-type]
        assert {line["learning_rate"] for line in trained} == {2e-3}


def test_the_bank_holds_the_candidates_in_order_as_the_target_encoder_sees_them(world: World) -> None:
    recipe, store = world(bank={"dtype": "float16"})
    artifacts = run_all(recipe, store)
    bank = np.load(artifacts["candidate_bank"].file("bank.npy"))
    start = load_checkpoint(artifacts["stage1_checkpoint"])
    from spn4cir_core.images.files import image_files

    candidates = store.current("tiny", "triplets").table("candidates.parquet")  # type: ignore[union-attr]
    files = image_files(recipe.images, store)
    assert artifacts["candidate_bank"].table()["image_id"].to_pylist() == candidates["image_id"].to_pylist()
    for row, path in enumerate(candidates["path"].to_pylist()):
        picture = torch.from_numpy(start.network.read_images([files.open(path)]))
        with torch.no_grad():
            np.testing.assert_allclose(bank[row], start.network.encode_target(picture)[0].numpy(), atol=1e-3)


@pytest.mark.parametrize("name", ["stage1_checkpoint", "stage2_checkpoint"])
def test_a_killed_training_ends_with_the_bytes_of_an_unbroken_one(world: World, tmp_path: Path, name: str) -> None:
    schedule = {"steps": 60, "save_every_steps": 4}
    recipe, store = world(stage1=schedule, stage2=schedule)
    unbroken = bytes_of(run_all(recipe, store)[name])
    killed = Store(tmp_path / "killed")
    script = Path(__file__).parent / "train_until_killed.py"
    worker = subprocess.Popen([sys.executable, str(script), str(killed.root), name], stdout=subprocess.PIPE)
    state = None
    deadline = time.monotonic() + 120
    while state is None and worker.poll() is None and time.monotonic() < deadline:
        state = next(killed.root.glob(f"{name}/.*.draft/resume/state.safetensors"), None)
        time.sleep(0.002)
    os.kill(worker.pid, signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL, "the worker ended before it could be killed"
    assert state is not None and state.is_file()
    stage = next(stage for stage in ALL if stage.name == name)
    artifact, reused = stage.run(recipe, killed)
    assert not reused and bytes_of(artifact) == unbroken


def test_going_on_does_not_start_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from spn4cir_core.training import train_stage

    recipe, store = world()
    taken: list[int] = []
    step_of = train_stage._Loop._step

    def step(self: train_stage._Loop, number: int) -> dict[str, float]:
        taken.append(number)
        if len(taken) == 6:
            raise KeyboardInterrupt
        return step_of(self, number)

    monkeypatch.setattr(train_stage._Loop, "_step", step)
    with pytest.raises(KeyboardInterrupt):
        STAGE1_CHECKPOINT.run(recipe, store)
    STAGE1_CHECKPOINT.run(recipe, store)
    assert taken == [0, 1, 2, 3, 4, 5, 4, 5, 6]


def test_a_loss_that_is_no_number_stops_and_publishes_nothing(world: World) -> None:
    recipe, store = world(stage1={"learning_rate": 100, "clip_norm": 2e9, "warmup_share": 0, "steps": 50})
    with pytest.raises(TrainingError, match=r"stage1: at step \d+ of 50 the loss is .*learning_rate below 100"):
        STAGE1_CHECKPOINT.run(recipe, store)
    assert store.current("tiny", "stage1_checkpoint") is None


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_triplets_than_a_batch_make_smaller_batches(world: World, count: int) -> None:
    recipe, store = world(count=count, stage1={"batch_size": 64}, stage2={"batch_size": 64})
    artifacts = run_all(recipe, store)
    assert artifacts["stage2_checkpoint"].details["batch_size"] == sum(1 + row % 2 for row in range(count))


def test_no_triplets_is_one_clear_error(world: World) -> None:
    recipe, store = world(count=0)
    with pytest.raises(InputError, match="no training triplets"):
        STAGE1_CHECKPOINT.run(recipe, store)


def test_no_steps_leave_the_starting_weights(world: World) -> None:
    recipe, store = world(stage2={"steps": 0})
    artifacts = run_all(recipe, store)
    start, end = load_network(artifacts["stage1_checkpoint"]), load_network(artifacts["stage2_checkpoint"])
    image, tokens = torch.full((1, 3, 48, 48), 7, dtype=torch.uint8), start.tokenize(["make it red"])
    with torch.no_grad():
        assert torch.equal(start.encode_query(image, tokens), end.encode_query(image, tokens))


def test_a_bank_of_another_checkpoint_is_refused(world: World) -> None:
    recipe, store = world()
    run_all(recipe, store)
    other, _ = world(stage1={"steps": 9})
    STAGE1_CHECKPOINT.run(other, store)
    with pytest.raises(TrainingError, match="holds vectors of stage1_checkpoint"):
        STAGE2_CHECKPOINT.run(recipe, store)


def test_a_checkpoint_of_another_backbone_is_refused(world: World) -> None:
    recipe, store = world()
    STAGE1_CHECKPOINT.run(recipe, store)
    other, _ = world(stage1={"backbone": {"kind": "small", "dim": 24}})
    with pytest.raises(TrainingError, match="the recipe asks for"):
        CONTROL_CHECKPOINT.run(other, store)


def test_weights_of_another_network_are_refused(world: World) -> None:
    recipe, store = world()
    artifact, _ = STAGE1_CHECKPOINT.run(recipe, store)
    other, _ = world(stage1={"backbone": {"kind": "small", "dim": 24}})
    stranger, _ = STAGE1_CHECKPOINT.run(other, store)
    mixed = Artifact("stage1_checkpoint", stranger.path, stranger.summary)
    (mixed.path / "model.safetensors").write_bytes((artifact.path / "model.safetensors").read_bytes())
    mixed.summary["files"]["model.safetensors"] = artifact.summary["files"]["model.safetensors"]
    with pytest.raises(StoreError, match="is not of the network"):
        load_network(mixed)


def test_guards_reach_the_loss(world: World) -> None:
    recipe, store = world()
    free = read_metrics(run_all(recipe, store)["stage2_checkpoint"])
    candidates = store.current("tiny", "triplets").table("candidates.parquet")["image_id"].to_pylist()  # type: ignore[union-attr]
    everything = [(f"t{number:03d}", image) for number in range(10) for image in candidates]
    recipe, store = world(guards=everything)
    guarded = read_metrics(run_all(recipe, store)["stage2_checkpoint"])
    assert free[0]["loss"] > 1
    assert guarded[0]["loss"] == pytest.approx(0, abs=1e-6), "only the target is left: nothing to tell it from"


def test_guards_reach_the_batch_where_stage_1_asks_for_them(world: World) -> None:
    images = candidates_of(*world())
    everything = [(f"t{number:03d}", image) for number in range(10) for image in images]

    def first_losses(**stage1: object) -> list[float]:
        recipe, store = world(guards=everything, stage1={"steps": 1, **stage1}, stage2={"steps": 1})
        made = [stage.run(recipe, store)[0] for stage in (STAGE1_CHECKPOINT, CONTROL_CHECKPOINT)]
        return [read_metrics(checkpoint)[0]["loss"] for checkpoint in made]

    assert min(first_losses()) > 0.5, "guards are for stage 2 unless it is said"
    assert first_losses(exclude_known_positives="false_negatives") == pytest.approx([0, 0], abs=1e-6)


def test_stage_1_hangs_on_the_guards_only_where_it_asks_for_them(world: World) -> None:
    marks = {}
    for excluded in ("same_target", "false_negatives"):
        for guards in ([], [("t000", candidates_of(*world())[0])]):
            recipe, store = world(stage1={"exclude_known_positives": excluded}, guards=guards)
            marks[excluded, len(guards)] = STAGE1_CHECKPOINT.wanted(recipe, store)
    assert marks["same_target", 0] == marks["same_target", 1]
    assert len(set(marks.values())) == 3


def test_guards_of_other_triplets_are_refused(world: World) -> None:
    recipe, store = world(stage1={"exclude_known_positives": "false_negatives"})
    others = store.current("tiny", "false_negatives")
    world(count=9)
    store.point("tiny", others)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match=r"false_negatives \w+ was made of triplets .* materialise false_negatives"):
        STAGE1_CHECKPOINT.run(recipe, store)


def candidates_of(_: Recipe, store: Store) -> list[str]:
    triplets = store.current("tiny", "triplets")
    assert triplets is not None
    return [str(image) for image in triplets.table("candidates.parquet")["image_id"].to_pylist()]


def test_pictures_are_read_once_for_all_stages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from spn4cir_core.images.files import ImageFiles

    recipe, store = world()
    opened: list[str] = []
    really_open = ImageFiles.open
    monkeypatch.setattr(ImageFiles, "open", lambda self, path: opened.append(path) or really_open(self, path))
    run_all(recipe, store)
    assert sorted(opened) == sorted(set(opened)) and len(opened) == 12


def test_image_inputs_follow_the_order_of_the_table(world: World) -> None:
    from spn4cir_core.images.files import image_files

    recipe, store = world()
    backbone = recipe.stage1_checkpoint.backbone
    network = backbone.build(["red"], 0)
    candidates = store.current("tiny", "triplets").table("candidates.parquet")  # type: ignore[union-attr]
    files = image_files(recipe.images, store)
    backwards = candidates.take(list(range(len(candidates)))[::-1])
    inputs = image_inputs(backbone, network, backwards, files, store, batch_rows=5)
    for row, path in enumerate(backwards["path"].to_pylist()):
        np.testing.assert_array_equal(inputs[row], network.read_images([files.open(path)])[0])


def test_the_learning_rate_climbs_then_falls_to_nothing() -> None:
    schedule = Stage2Settings.model_validate({"objective": "bank", "learning_rate": 1.0, "warmup_share": 0.2})
    rates = [learning_rate(step, 10, schedule) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert 0 < rates[-1] < 0.05


def test_a_constant_learning_rate_climbs_and_stays() -> None:
    table = {"objective": "bank", "learning_rate": 1.0, "rate_schedule": "constant"}
    warm, cold = (Stage2Settings.model_validate({**table, "warmup_share": share}) for share in (0.2, 0.0))
    assert [learning_rate(step, 10, warm) for step in range(10)] == [0.5, *[1.0] * 9]
    assert {learning_rate(step, 10, cold) for step in range(10)} == {1.0}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(world: World, tmp_path: Path) -> None:
    recipe, store = world()
    first = bytes_of(STAGE1_CHECKPOINT.run(recipe, store)[0])
    artifact = store.current("tiny", "stage1_checkpoint")
    assert artifact is not None
    again = hashlib.sha256((artifact.path / "model.safetensors").read_bytes()).hexdigest()
    assert first["model.safetensors"] == again
    other, _ = world(seed=1)
    assert bytes_of(STAGE1_CHECKPOINT.run(other, store)[0])["model.safetensors"] != again
