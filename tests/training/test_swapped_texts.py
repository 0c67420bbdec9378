"""Queries of texts with one word swapped: which texts have some, and that they take part in the gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spn4cir_core.objectives.base import Batch
from spn4cir_core.objectives.swapped_texts import SwappedTexts
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training import step_batches
from spn4cir_core.training.checkpoints import load_network, read_metrics
from spn4cir_core.training.stages import STAGE1_CHECKPOINT
from spn4cir_core.training.triplet_batches import TripletBatch

World = Callable[..., tuple[Recipe, Store]]
TEXTS = ["make it red", "make it blue", "add a star"]


@pytest.fixture(autouse=True)
def _other_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.training.conftest.TEXTS", TEXTS)


def test_each_text_with_a_swap_that_is_not_its_triplets_own_has_a_query(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[TripletBatch] = []
    outputs: list[Tensor] = []
    of, loss = step_batches.StepBatches.of, SwappedTexts.loss

    def watched_of(self: step_batches.StepBatches, triplets: TripletBatch, *rest: object) -> Batch:
        batches.append(triplets)
        return of(self, triplets, *rest)  # type: ignore[arg-type]

    def watched_loss(self: SwappedTexts, batch: Batch) -> Tensor:
        outputs.append(batch.output("swapped_queries").detach().clone())
        return loss(self, batch)

    monkeypatch.setattr(step_batches.StepBatches, "of", watched_of)
    monkeypatch.setattr(SwappedTexts, "loss", watched_loss)
    recipe, store = world(stage1={"objective": {"kind": "swapped_texts"}, "learning_rate": 1e-9})
    artifact, _ = STAGE1_CHECKPOINT.run(recipe, store)
    network = load_network(artifact)
    assert len(outputs) == 7
    seen = set()
    for triplets, queries_BD in zip(batches, outputs, strict=True):
        inputs = torch.from_numpy(inputs_of(recipe, store, network)[triplets.references_B])
        for position, (row, text) in enumerate(triplets.visits()):
            others = {"make it red": "make it blue", "make it blue": "make it red"}
            other = others.get(text)
            if other is None or other in TEXTS[: 1 + row % 3]:
                assert not queries_BD[position].any()
                continue
            seen.add(text)
            with torch.no_grad():
                expected = network.encode_query(inputs[[position]], network.tokenize([other]))[0]
            torch.testing.assert_close(queries_BD[position], expected, atol=1e-4, rtol=0)
    assert seen == {"make it red"}, "a triplet whose texts hold both colours has no swap"


def inputs_of(recipe: Recipe, store: Store, network: object):  # type: ignore[no-untyped-def]
    """What the network reads of each candidate."""
    from spn4cir_core.images.files import image_files
    from spn4cir_core.training.image_inputs import image_inputs
    from spn4cir_core.triplets.triplet_tables import read_candidates

    triplets = store.current(recipe.name, "triplets")
    assert triplets is not None
    candidates = read_candidates(triplets, "image_id", "path", "pixel_sha256")
    backbone = recipe.stage1_checkpoint.backbone
    return image_inputs(backbone, network, candidates, image_files(recipe.images, store), store)  # type: ignore[arg-type]


def test_chunks_give_the_same_gradient(world: World) -> None:
    first = []
    for chunk_size in (None, 1):
        parts = [{"kind": "in_batch"}, {"kind": "swapped_texts"}]
        recipe, store = world(stage1={"objective": {"kind": "mixture", "parts": parts}, "chunk_size": chunk_size})
        first.append(read_metrics(STAGE1_CHECKPOINT.run(recipe, store)[0])[0])
    for name in ("loss", "gradient_norm"):
        assert first[0][name] == pytest.approx(first[1][name], rel=1e-4) and first[0][name] > 0
