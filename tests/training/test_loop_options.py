"""What the loop can do beyond its plain form, on a tiny corpus."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spn4cir_core.errors import InputError, RecipeError, TrainingError
from spn4cir_core.objectives.base import OBJECTIVES
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.whole_file import read_json
from spn4cir_core.training import train_stage
from spn4cir_core.training.checkpoints import load_checkpoint, read_checkpoint, read_metrics
from spn4cir_core.training.stages import CANDIDATE_BANK, CONTROL_CHECKPOINT, STAGE1_CHECKPOINT, STAGE2_CHECKPOINT
from spn4cir_core.training.validation import GAIN_AT_LEAST, RECALLS, better_of, score_of

World = Callable[..., tuple[Recipe, Store]]
EVERY_OPTION = {
    "chunk_size": 3,
    "accumulate_batches": 2,
    "precision": "float16",
    "checkpoint_activations": True,
    "weight_average": {"kind": "moving", "decay": 0.8},
    "batches": {"kind": "same_category"},
    "objective": {"kind": "memory_queue", "size": 6, "momentum": 0.9},
    "validation": {"every_steps": 2, "keep": "best"},
}


def stage1(world: World, **settings: Any) -> Artifact:
    recipe, store = world(stage1=settings, validation=6)
    return STAGE1_CHECKPOINT.run(recipe, store)[0]


def weights(artifact: Artifact) -> dict[str, torch.Tensor]:
    network: Any = load_checkpoint(artifact).network
    return {name: tensor.double() for name, tensor in network.state_dict().items()}


def distance(first: Artifact, second: Artifact) -> float:
    ours, theirs = weights(first), weights(second)
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


def losses(artifact: Artifact) -> np.ndarray:
    return np.array([line["loss"] for line in read_metrics(artifact)])


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    step_of = train_stage._Loop._step

    def stepped(self: train_stage._Loop, number: int) -> dict[str, Any]:
        if number == step:
            act()
        return step_of(self, number)

    monkeypatch.setattr(train_stage._Loop, "_step", stepped)


@pytest.mark.parametrize("settings", [{"chunk_size": 1}, {"chunk_size": 3}, {"checkpoint_activations": True}])
def test_saving_memory_changes_nothing_but_rounding(world: World, settings: dict[str, Any]) -> None:
    plain, saving = stage1(world, learning_rate=1e-3), stage1(world, learning_rate=1e-3, **settings)
    np.testing.assert_allclose(losses(saving), losses(plain), atol=1e-5)
    assert distance(saving, plain) < 1e-3


def test_against_a_bank_two_batches_of_a_step_are_one_of_twice_the_size(world: World) -> None:
    def first_step(**settings: Any) -> dict[str, Any]:
        recipe, store = world(count=12, stage2={"steps": 1, **settings})
        for stage in (STAGE1_CHECKPOINT, CANDIDATE_BANK):
            stage.run(recipe, store)
        return read_metrics(STAGE2_CHECKPOINT.run(recipe, store)[0])[0]

    one, two = first_step(batch_size=9), first_step(batch_size=3, accumulate_batches=3)
    assert two["epoch"] == one["epoch"]
    # The texts are drawn for each batch, so the losses are near, not equal, unless every triplet has one text.
    assert two["loss"] == pytest.approx(one["loss"], rel=0.1)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_stays_near(world: World, precision: str) -> None:
    plain, lower = stage1(world, learning_rate=1e-3), stage1(world, learning_rate=1e-3, precision=precision)
    assert losses(lower)[0] != losses(plain)[0]
    np.testing.assert_allclose(losses(lower)[0], losses(plain)[0], rtol=0.05)
    overflows = [line["gradient_norm"] is None for line in read_metrics(lower)]
    assert not any(overflows) if precision == "bfloat16" else not all(overflows), "float16 may leave first steps out"
    assert {str(tensor.dtype) for tensor in load_checkpoint(lower).network.state_dict().values()} == {"torch.float32"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("settings", [{}, EVERY_OPTION])
def test_ctrl_c_keeps_the_step_and_the_next_run_ends_as_an_unbroken_one(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    settings: dict[str, Any],
) -> None:
    unbroken = stage1(world, save_every_steps=100, **settings)
    recipe, store = world(stage1={"save_every_steps": 100, **settings}, validation=6)
    broken = Store(tmp_path / "broken")
    store_of_parents(store, broken)
    interrupt_at(monkeypatch, 4, lambda: os.kill(os.getpid(), signal.SIGINT))
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        STAGE1_CHECKPOINT.run(recipe, broken)
    assert signal.getsignal(signal.SIGINT) is handler
    assert "stage1 was interrupted: step 5 of 7 is saved. Run the same again" in caplog.text
    monkeypatch.undo()
    taken: list[int] = []
    interrupt_at(monkeypatch, 5, lambda: taken.append(5))
    resumed = STAGE1_CHECKPOINT.run(recipe, broken)[0]
    assert resumed.summary["files"] == unbroken.summary["files"] and taken == [5]


def store_of_parents(source: Store, target: Store) -> None:
    """The same parents in another store, without what was trained."""
    shutil.copytree(source.root, target.root, ignore=shutil.ignore_patterns("stage1_checkpoint"))
    (target.root / "recipes" / "tiny" / "stage1_checkpoint.json").unlink(missing_ok=True)


def test_a_batch_that_breaks_the_training_is_kept_with_the_weights_before_it(world: World) -> None:
    recipe, store = world(stage1={"learning_rate": 100, "clip_norm": 2e9, "warmup_share": 0, "steps": 50})
    with pytest.raises(TrainingError, match=r"The batch is in .*refused_batch\.json"):
        STAGE1_CHECKPOINT.run(recipe, store)
    path = next(store.root.glob("stage1_checkpoint/.*.draft/resume/refused_batch.json"))
    refused = read_json(path)
    done = [json.loads(line) for line in path.with_name("metrics.jsonl").read_text().splitlines()]
    assert refused["step"] == len(done) + 1 and refused["stage"] == "stage1"
    assert {entry["triplet_id"][0] for entry in refused["triplets"]} == {"t"} and len(refused["triplets"]) == 4
    assert path.with_name("state.safetensors").is_file()


def test_the_best_validated_weights_are_kept_and_both_steps_are_told(world: World) -> None:
    settings: dict[str, Any] = {"steps": 12, "learning_rate": 0.05, "validation": {"every_steps": 5}}
    last = stage1(world, **settings)
    best = stage1(world, **settings | {"validation": {"every_steps": 5, "keep": "best"}})
    lines = read_metrics(best)
    assert [line["step"] for line in lines if RECALLS[0] in line] == [5, 10, 12], "and the last step"
    looks = best.details["validation"]
    assert looks["queries"] == 6 + 1 and looks["gallery"] == 4
    assert looks["weights"] == ("start" if looks["best_step"] == 0 else "trained")
    scores = {line["step"]: score_of(line) for line in lines if score_of(line) is not None}
    scores[0] = score_of(looks["start"])
    assert looks["best_step"] == max(scores, key=lambda step: (scores[step], -step)) and looks["last_step"] == 12
    shorter = stage1(world, **settings | {"steps": 12, "validation": {"every_steps": 5, "keep": "best", "patience": 1}})
    assert losses(last).tolist() == losses(best).tolist(), "looking changes nothing"
    stopped = len(read_metrics(shorter))
    assert shorter.details["steps"] == stopped and stopped in (5, 10, 12)


def test_the_last_weights_are_kept_beside_the_best_where_both_are_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    falling = iter([0.1, 0.9, 0.5, 0.4] * 2)
    monkeypatch.setattr(
        "spn4cir_core.training.validation.Validation.recalls",
        lambda self, network, device, encoders: dict.fromkeys(RECALLS, next(falling)),
    )
    best, both = (stage1(world, validation={"every_steps": 3, "keep": keep}) for keep in ("best", "best_and_last"))
    last = stage1(world)
    assert both.details["validation"]["best_step"] == 3 and distance(best, last) > 0
    assert both.summary["files"]["model.safetensors"] == best.summary["files"]["model.safetensors"]
    assert set(both.summary["files"]) - set(best.summary["files"]) == {"last.safetensors"}
    beside = read_checkpoint(both.file("network.json"), both.file("last.safetensors"), "the last").network
    assert all(torch.equal(value.double(), weights(last)[name]) for name, value in beside.state_dict().items())  # type: ignore[attr-defined]


@pytest.mark.parametrize("clip_norm", [1e-3, 1e9])
def test_gradients_longer_than_the_limit_are_cut_to_it(
    world: World, monkeypatch: pytest.MonkeyPatch, clip_norm: float
) -> None:
    taken, step_of = list[tuple[float, float]](), train_stage._Loop._step

    def watched(self: train_stage._Loop, number: int) -> dict[str, Any]:
        line = step_of(self, number)
        left = torch.cat([p.grad.flatten() for p in self.steps.parameters if p.grad is not None])
        taken.append((line["gradient_norm"], float(left.norm())))
        return line

    monkeypatch.setattr(train_stage._Loop, "_step", watched)
    stage1(world, steps=2, clip_norm=clip_norm)
    for before, after in taken:
        assert before > 1e-3 and after == pytest.approx(min(before, clip_norm), rel=1e-3)


def test_a_stage_that_makes_nothing_better_keeps_what_it_started_from(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        "spn4cir_core.training.validation.Validation.recalls",
        lambda self, network, device, encoders: dict.fromkeys(RECALLS, next(falling)),
    )
    falling = iter([0.9, 0.5, 0.4, 0.3, 0.2])
    recipe, store = world(validation=6, stage2={"validation": {"every_steps": 2, "keep": "best"}})
    for stage in (STAGE1_CHECKPOINT, CANDIDATE_BANK):
        stage.run(recipe, store)
    artifact = STAGE2_CHECKPOINT.run(recipe, store)[0]
    start, end = load_checkpoint(store.current("tiny", "stage1_checkpoint")), load_checkpoint(artifact)  # type: ignore[arg-type]
    images, tokens = torch.full((1, 3, 48, 48), 9, dtype=torch.uint8), start.network.tokenize(["make it red"])
    with torch.no_grad():
        assert torch.equal(start.network.encode_query(images, tokens), end.network.encode_query(images, tokens))
    assert artifact.details["validation"]["best_step"] == 0 and len(read_metrics(artifact)) == 7
    assert artifact.details["validation"]["weights"] == "start"
    assert "stage2 did not help on 7 validation queries" in caplog.text


def test_validation_without_a_validation_split_is_one_clear_error(world: World) -> None:
    recipe, store = world(stage1={"validation": {"every_steps": 2, "origins": ["generated"]}})
    with pytest.raises(InputError, match=r"no generated triplet in the validation split.*validation_share"):
        STAGE1_CHECKPOINT.run(recipe, store)


def test_averaged_weights_are_what_is_kept(world: World) -> None:
    plain = stage1(world)
    averaged = stage1(world, weight_average={"kind": "last", "checkpoints": 2, "every_steps": 1})
    shorter = stage1(world, weight_average={"kind": "moving", "decay": 1e-9})
    assert losses(plain).tolist() == losses(averaged).tolist() == losses(shorter).tolist()
    assert distance(plain, shorter) < 1e-6 < distance(plain, averaged)


def test_a_pull_towards_the_start_sees_the_starting_weights(world: World) -> None:
    recipe, store = world(stage2={"objective": {"kind": "pull", "strength": 5.0}})
    for stage in (STAGE1_CHECKPOINT, CANDIDATE_BANK):
        stage.run(recipe, store)
    lines = read_metrics(STAGE2_CHECKPOINT.run(recipe, store)[0])
    assert lines[0]["loss"] == pytest.approx(0, abs=1e-5), "at the start it pulls nowhere"
    assert max(line["loss"] for line in lines) > 1e-4, "and the start stays where it was"


def test_every_objective_trains_stage_2(world: World) -> None:
    """Those of one backbone are trained in tests/test_backbones_through_the_flow.py."""
    recipe, store = world()
    for stage in (STAGE1_CHECKPOINT, CANDIDATE_BANK):
        stage.run(recipe, store)
    mixture = {"kind": "mixture", "parts": [{"kind": "bank"}, {"kind": "reference_negatives"}, {"kind": "pull"}]}
    judged = {"kind": "judged_labels", "reranker": {"kind": "tests.reranking.rerankers:ByColour"}}
    may_refuse_all = {"explicit_negatives", "guide", "positive_margin", "swapped_texts", "unime", "window"}
    for kind in sorted(set(OBJECTIVES.members) - {"memory_queue", "prompt_alignment", "target_guided"}):
        table = {"mixture": mixture, "judged_labels": judged}.get(kind, {"kind": kind})
        recipe, _ = world(stage2={"steps": 2, "objective": table})
        made = STAGE2_CHECKPOINT.run(recipe, store)[0]
        assert np.isfinite(losses(made)).all(), kind
        assert kind in may_refuse_all or read_metrics(made)[-1]["gradient_norm"] > 0, kind


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_composed_negatives_take_part_in_the_gradient(world: World, chunk_size: int | None) -> None:
    settings = {"objective": {"kind": "negative_types"}, "chunk_size": chunk_size, "learning_rate": 1e-3}
    assert np.isfinite(losses(stage1(world, **settings))).all()


def test_a_control_is_of_stage_2s_length_and_of_nothing_else_of_it(world: World) -> None:
    recipe, store = world()
    STAGE1_CHECKPOINT.run(recipe, store)
    wanted = CONTROL_CHECKPOINT.wanted(recipe, store)
    for changed, same in (({"learning_rate": 0.5}, True), ({"batch_size": 3}, True), ({"steps": 8}, False)):
        other, _ = world(stage2=changed)
        assert (CONTROL_CHECKPOINT.wanted(other, store) == wanted) is same, changed


def test_a_target_encoder_that_follows_is_a_moving_average_and_its_bank_is_embedded_anew(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = {"kind": "following", "momentum": 0.5, "refresh_every_epochs": 0.8}
    recipe, store = world(stage2={"target": following, "save_every_steps": 1, "learning_rate": 0.02})
    for stage in (STAGE1_CHECKPOINT, CANDIDATE_BANK):
        stage.run(recipe, store)
    again = Store(tmp_path / "again")
    shutil.copytree(store.root, again.root)
    queries, banks = [], []
    step_of = train_stage._Loop._step

    def watched(self: train_stage._Loop, number: int) -> dict[str, Any]:
        assert self.steps.batches.bank is not None
        banks.append(self.steps.batches.bank.clone())
        line = step_of(self, number)
        queries.append([tensor.detach().clone() for _, tensor in self.training.network.target_follows()])
        return line

    monkeypatch.setattr(train_stage._Loop, "_step", watched)
    artifact = STAGE2_CHECKPOINT.run(recipe, store)[0]
    monkeypatch.undo()
    start: Any = load_checkpoint(store.current("tiny", "stage1_checkpoint")).network  # type: ignore[arg-type]
    end: Any = load_checkpoint(artifact).network
    expected = [tensor.detach().clone() for tensor in start.image.parameters()]
    for step in queries:
        expected = [0.5 * old + 0.5 * new for old, new in zip(expected, step, strict=True)]
    for ours, theirs in zip(end.image.parameters(), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    changes = [step + 1 for step in range(6) if not torch.equal(banks[step], banks[step + 1])]
    assert changes == [3, 6], "15 visits in batches of 4: 0.8 epochs are 3 steps"

    interrupt_at(monkeypatch, 4, lambda: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            STAGE2_CHECKPOINT.run(recipe, again)
    finally:
        signal.signal(signal.SIGTERM, before)
    monkeypatch.undo()
    assert STAGE2_CHECKPOINT.run(recipe, again)[0].summary["files"] == artifact.summary["files"]


def test_a_gain_that_may_be_chance_keeps_the_start_also_after_a_kill(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recipe, store = world(
        validation=6, stage1={"validation": {"every_steps": 2, "keep": "best", "beyond_chance": True}}
    )
    again = Store(tmp_path / "again")
    shutil.copytree(store.root, again.root)
    artifact = STAGE1_CHECKPOINT.run(recipe, store)[0]
    lines = [line for line in read_metrics(artifact) if RECALLS[0] in line]
    best = better_of([artifact.details["validation"]["start"] | {"step": 0}, *lines])
    assert best is not None and artifact.details["validation"]["best_step"] == best["step"]
    assert all(GAIN_AT_LEAST in line for line in lines)
    interrupt_at(monkeypatch, 4, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        STAGE1_CHECKPOINT.run(recipe, again)
    monkeypatch.undo()
    assert STAGE1_CHECKPOINT.run(recipe, again)[0].summary["files"] == artifact.summary["files"]


def test_an_output_that_no_network_gives_is_named_with_backbone_and_objective(world: World) -> None:
    recipe, store = world(stage1={"objective": {"kind": "prompt_alignment"}})
    message = "'prompt_alignment' needs the outputs prompt_distances, prompt_text_queries, which backbone 'small'"
    with pytest.raises(RecipeError, match=message):
        STAGE1_CHECKPOINT.run(recipe, store)


def test_stage_2_is_validated_by_edits_of_captions(world: World) -> None:
    validation = {"every_steps": 3, "keep": "best", "queries": "caption_edits", "gallery": "training_too"}
    recipe, store = world(stage2={"validation": validation})
    for stage in (STAGE1_CHECKPOINT, CANDIDATE_BANK):
        stage.run(recipe, store)
    details = STAGE2_CHECKPOINT.run(recipe, store)[0].details["validation"]
    assert details["query_source"] == "caption_edits" and details["queries"] == 3 and details["gallery"] == 12
    assert score_of(details["best"]) >= score_of(details["start"])  # type: ignore[operator]


def test_threads_of_a_schedule_are_those_of_its_training_alone(world: World) -> None:
    before = torch.get_num_threads()
    stage1(world, threads=before + 1)
    assert torch.get_num_threads() == before
