"""Queries of another text of the same triplet: which triplets have some, and that they take part in the gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spn4cir_core.objectives.base import Batch
from spn4cir_core.objectives.wording_consistency import WordingConsistency
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training import step_batches
from spn4cir_core.training.checkpoints import load_network, read_metrics
from spn4cir_core.training.stages import STAGE1_CHECKPOINT
from spn4cir_core.training.triplet_batches import TripletBatch
from tests.training.conftest import TEXTS
from tests.training.test_swapped_texts import inputs_of

World = Callable[..., tuple[Recipe, Store]]


def test_each_triplet_with_two_texts_has_a_query_of_the_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[TripletBatch] = []
    outputs: list[Tensor] = []
    of, loss = step_batches.StepBatches.of, WordingConsistency.loss

    def watched_of(self: step_batches.StepBatches, triplets: TripletBatch, *rest: object) -> Batch:
        batches.append(triplets)
        return of(self, triplets, *rest)  # type: ignore[arg-type]

    def watched_loss(self: WordingConsistency, batch: Batch) -> Tensor:
        outputs.append(batch.output("reworded_queries").detach().clone())
        return loss(self, batch)

    monkeypatch.setattr(step_batches.StepBatches, "of", watched_of)
    monkeypatch.setattr(WordingConsistency, "loss", watched_loss)
    recipe, store = world(stage1={"objective": {"kind": "wording_consistency"}, "learning_rate": 1e-9})
    artifact, _ = STAGE1_CHECKPOINT.run(recipe, store)
    network = load_network(artifact)
    reworded = 0
    for triplets, queries_BD in zip(batches, outputs, strict=True):
        inputs = torch.from_numpy(inputs_of(recipe, store, network)[triplets.references_B])
        for position, (row, text) in enumerate(triplets.visits()):
            others = [other for other in TEXTS[: 1 + row % 3] if other != text]
            if not others:
                assert not queries_BD[position].any()
                continue
            reworded += 1
            with torch.no_grad():
                images = inputs[[position] * len(others)]
                expected = network.encode_query(images, network.tokenize(others))
            assert (queries_BD[position] - expected).abs().amax(dim=1).min().item() < 1e-4
    assert reworded


def test_chunks_give_the_same_gradient(world: World) -> None:
    first = []
    for chunk_size in (None, 1):
        parts = [{"kind": "in_batch"}, {"kind": "wording_consistency", "strength": 5.0}]
        recipe, store = world(stage1={"objective": {"kind": "mixture", "parts": parts}, "chunk_size": chunk_size})
        first.append(read_metrics(STAGE1_CHECKPOINT.run(recipe, store)[0])[0])
    for name in ("loss", "gradient_norm"):
        assert first[0][name] == pytest.approx(first[1][name], rel=1e-4) and first[0][name] > 0


@pytest.mark.parametrize(("count", "several"), [(1, 0), (10, 6)])
def test_triplets_of_one_text_alone_are_worth_a_warning(
    world: World, caplog: pytest.LogCaptureFixture, count: int, several: int
) -> None:
    recipe, store = world(count, stage1={"objective": {"kind": "wording_consistency"}, "steps": 1})
    artifact, _ = STAGE1_CHECKPOINT.run(recipe, store)
    assert artifact.details["triplets_with_several_texts"] == several
    assert ("no triplet has several texts" in caplog.text) == (several == 0)
