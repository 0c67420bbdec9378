from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spn4cir_core.backbones.base import BACKBONES
from spn4cir_core.engine.processes import Processes
from spn4cir_core.errors import TrainingError
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training import embed_candidates, prepare_training
from spn4cir_core.training.checkpoints import as_module, load_network, read_metrics
from spn4cir_core.training.embed_candidates import embed_targets, open_references
from spn4cir_core.training.stages import CANDIDATE_BANK, CONTROL_CHECKPOINT, STAGE1_CHECKPOINT, STAGE2_CHECKPOINT
from spn4cir_core.training.triplet_batches import read_training_triplets
from tests.backbones.small_backbones import WRITERS, names_of

World = Callable[..., tuple[Recipe, Store]]
KINDS = sorted(BACKBONES.members)


@pytest.fixture(params=KINDS)
def table(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    return WRITERS[request.param](tmp_path / "weights")


def run_all(recipe: Recipe, store: Store) -> dict[str, Artifact]:
    made = (STAGE1_CHECKPOINT, CANDIDATE_BANK, STAGE2_CHECKPOINT)
    return {stage.name: stage.run(recipe, store)[0] for stage in made}


def losses(artifact: Artifact) -> list[float]:
    return [line["loss"] for line in read_metrics(artifact)]


def test_every_backbone_learns_in_both_stages(world: World, table: dict[str, Any]) -> None:
    every_triplet = 64  # each step sees the same ones, so losses can be compared
    schedule = {"steps": 16, "batch_size": every_triplet, "learning_rate": 0.01, "temperature": 0.02}
    recipe, store = world(stage1={**schedule, "backbone": table}, stage2=schedule)
    made = run_all(recipe, store)
    for name in ("stage1_checkpoint", "stage2_checkpoint"):
        curve = losses(made[name])
        assert np.mean(curve[-3:]) < 0.985 * curve[0], name  # three texts for ten triplets: there is little to learn
    before, after = load_network(made["stage1_checkpoint"]), load_network(made["stage2_checkpoint"])
    pictures = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    from PIL import Image

    inputs = before.read_images([Image.fromarray(picture) for picture in pictures])
    np.testing.assert_array_equal(embed_targets(before, inputs, "cpu"), embed_targets(after, inputs, "cpu"))
    texts = read_training_triplets(store.current("tiny", "triplets")).all_texts()  # type: ignore[arg-type]
    start: Any = recipe.stage1_checkpoint.backbone.build(texts, recipe.seed)
    first, second = changed(start, before), changed(before, after)
    assert first and not first & names_of(before, before.frozen_in_stage1())
    assert second and not second & names_of(after, after.frozen_in_stage2())


def changed(one: Any, other: Any) -> set[str]:
    """Names of the other's tensors that differ from the one's, or that the one has not."""
    old, new = one.state_dict(), other.state_dict()
    return {name for name, value in new.items() if name not in old or not torch.equal(value, old[name])}


def test_stage_2_with_kept_features_is_stage_2_with_pictures_and_reads_none(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = WRITERS["clip4cir"](tmp_path / "weights")
    stage1 = {"backbone": table, "learning_rate": 0.01}
    weights, curves = [], []
    for with_features in (False, True):
        recipe, store = world(stage1=stage1, stage2={"learning_rate": 0.01}, bank={"reference_features": with_features})
        artifacts = {stage.name: stage.run(recipe, store)[0] for stage in (STAGE1_CHECKPOINT, CANDIDATE_BANK)}
        references = open_references(artifacts["candidate_bank"])
        assert (references is not None) == with_features
        if with_features:
            monkeypatch.setattr(
                prepare_training, "image_inputs", lambda *given, **named: pytest.fail("a picture was read")
            )
        artifact = STAGE2_CHECKPOINT.run(recipe, store)[0]
        weights.append(as_module(load_network(artifact)).state_dict())
        curves.append(losses(artifact))
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-4)
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-3)


def test_the_features_kept_are_those_of_each_candidate(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed_candidates, "BATCH_ROWS", 5)
    recipe, store = world(stage1={"backbone": WRITERS["tgcir"](tmp_path / "weights"), "steps": 1})
    made = {stage.name: stage.run(recipe, store)[0] for stage in (STAGE1_CHECKPOINT, CANDIDATE_BANK)}
    bank = made["candidate_bank"]
    references, vectors = open_references(bank), np.load(bank.file("bank.npy"))
    network = load_network(made["stage1_checkpoint"])
    assert references is not None and references.shape == (12, 7, 16) and vectors.shape == (12, 16)
    assert bank.details["kept_per_image"] == {"bank.npy": [16], "references.npy": [7, 16]}
    with torch.no_grad():
        again = network.encode_target(torch.from_numpy(np.array(references))).numpy()
    np.testing.assert_allclose(again, vectors, atol=1e-6)


def test_features_too_large_for_float16_are_refused(world: World, tmp_path: Path) -> None:
    recipe, store = world(stage1={"backbone": WRITERS["clip4cir"](tmp_path / "weights"), "steps": 0})
    made, _ = STAGE1_CHECKPOINT.run(recipe, store)
    from safetensors.torch import load_file, save_file

    given = tmp_path / "given"
    shutil.copytree(made.path, given)
    tensors = load_file(str(given / "model.safetensors"))
    tensors["clip.visual.proj"] *= 1e6
    save_file(tensors, str(given / "model.safetensors"))
    backbone = WRITERS["clip4cir"](tmp_path / "again")
    narrow, _ = world(stage1={"backbone": backbone, "steps": 0, "start_from": str(given)}, bank={"dtype": "float16"})
    STAGE1_CHECKPOINT.run(narrow, store)
    with pytest.raises(TrainingError, match=r"set candidate_bank\.dtype to"):
        CANDIDATE_BANK.run(narrow, store)


def test_a_stage_1_without_steps_is_a_stage_that_others_go_on_from(world: World, tmp_path: Path) -> None:
    recipe, store = world(stage1={"backbone": WRITERS["clip4cir"](tmp_path / "weights"), "steps": 0})
    made = run_all(recipe, store)
    start: Any = recipe.stage1_checkpoint.backbone.build([], 0)
    assert losses(made["stage1_checkpoint"]) == []
    for name, value in as_module(load_network(made["stage1_checkpoint"])).state_dict().items():
        assert torch.equal(value, start.state_dict()[name])
    assert len(losses(CONTROL_CHECKPOINT.run(recipe, store)[0])) == 7


class Together(Processes):
    """Two processes played by two threads."""

    @staticmethod
    def two() -> list[Together]:
        barrier, said = threading.Barrier(2), ["", ""]
        both = [Together(rank, 2) for rank in range(2)]
        for one in both:
            object.__setattr__(one, "meeting", (barrier, said))
        return both

    def gather(self, text: str) -> list[str]:
        barrier, said = self.meeting  # type: ignore[attr-defined]
        said[self.rank] = text
        barrier.wait(60)
        texts = list(said)
        barrier.wait(60)
        return texts


def test_two_processes_write_the_bank_of_one(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed_candidates, "BATCH_ROWS", 5)
    recipe, store = world(stage1={"backbone": WRITERS["tgcir"](tmp_path / "weights"), "steps": 0})
    STAGE1_CHECKPOINT.run(recipe, store)
    alone = CANDIDATE_BANK.run(recipe, store)[0]
    alone.path.rename(tmp_path / "alone")
    for part in store.root.rglob("part-*.parquet"):
        part.unlink()
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(CANDIDATE_BANK.run, recipe, store, processes=one) for one in Together.two()]
        made = [run.result()[0] for run in runs]
    assert made[0].path == made[1].path == alone.path
    for name in alone.summary["files"]:
        assert made[0].file(name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    assert not [path for path in store.root.rglob("*.tmp")]


@pytest.mark.parametrize("kind", ["clip4cir", "tgcir"])
def test_half_precision_chunks_and_activations_computed_again(world: World, tmp_path: Path, kind: str) -> None:
    schedule = {"steps": 3, "learning_rate": 1e-4, "chunk_size": 3}
    short = {**schedule, "precision": "bfloat16", "checkpoint_activations": True}
    table = WRITERS[kind](tmp_path / "weights")
    exact = run_all(*world(stage1={**schedule, "backbone": table}, stage2=schedule))
    narrow = run_all(*world(stage1={**short, "backbone": table}, stage2=short))
    for name in ("stage1_checkpoint", "stage2_checkpoint"):
        np.testing.assert_allclose(losses(narrow[name]), losses(exact[name]), rtol=0.05)


def test_residual_trains_and_embeds_to_the_same_bytes_by_any_number_of_threads(world: World, tmp_path: Path) -> None:
    network = {**WRITERS["residual"](tmp_path / "weights"), "hidden": 512, "rank": 64}
    parts = [{"kind": "in_batch"}, {"kind": "wording_consistency"}]
    schedule = {"batch_size": 128, "steps": 3, "threads": None, "learning_rate": 1e-2}
    recipe, store = world(
        count=128,
        stage1={**schedule, "backbone": network, "objective": {"kind": "mixture", "parts": parts}},
        stage2=schedule,
    )

    def made(threads: int) -> dict[str, Any]:
        torch.set_num_threads(threads)
        for name in ("stage1_checkpoint", "candidate_bank", "stage2_checkpoint"):
            shutil.rmtree(store.root / name, ignore_errors=True)
        return {name: artifact.summary["files"] for name, artifact in run_all(recipe, store).items()}

    assert made(1) == made(2) == made(4)
