from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from spn4cir_core.errors import StoreError
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.lineage import Ancestors
from spn4cir_core.training.settings import ValidationSettings
from spn4cir_core.training.stages import READS_OF_TRIPLETS
from spn4cir_core.training.validation import (
    RECALLS,
    Validation,
    best_line,
    out_of_patience,
    ranks_of,
    read_validation,
    score_of,
)

World = Callable[..., tuple[Recipe, Store]]


def above(store: Store, triplets: Artifact) -> Ancestors:
    return Ancestors(store, {"triplets": triplets}, READS_OF_TRIPLETS)


def line(step: int, *recalls: float) -> dict[str, Any]:
    return {"step": step, **dict(zip(RECALLS, recalls, strict=False))}


def test_ranks_count_what_stands_before_the_target_without_the_reference() -> None:
    random = np.random.default_rng(0)
    queries, gallery = random.standard_normal((9, 4)), random.standard_normal((12, 3, 4))
    gallery[5] = gallery[7]
    targets, references = random.integers(0, 12, 9), np.zeros(9, np.int64)
    targets[targets == 0], targets[0] = 1, 5
    found = ranks_of(torch.tensor(queries), torch.tensor(gallery), targets, references)
    for query in range(9):
        scores = [max(float(queries[query] @ token) for token in image) for image in gallery]
        others = [score for image, score in enumerate(scores) if image not in (references[query], targets[query])]
        own = scores[targets[query]]
        ties = sum(abs(score - own) < 1e-12 for score in others)
        assert found[query] == sum(score > own + 1e-12 for score in others) + (ties + 1) // 2


def test_the_best_step_is_the_earliest_of_the_highest_mean_recall() -> None:
    metrics = [line(1), line(2, 0.1, 0.3, 0.5), line(3, 0.3, 0.3, 0.3), line(4, 0.0, 0.1, 0.5)]
    assert score_of(metrics[0]) is None and score_of(metrics[1]) == pytest.approx(0.3)
    best = best_line(metrics)
    assert best is not None and best["step"] == 2 and best_line(metrics[:1]) is None
    assert out_of_patience(metrics, 2) and not out_of_patience(metrics, 3) and not out_of_patience(metrics, None)
    assert not out_of_patience([], 1)


@pytest.mark.parametrize(
    ("settings", "queries", "gallery"),
    [
        ({}, 7, 4),
        ({"origins": ["annotated"]}, 1, 4),
        ({"origins": ["generated"], "gallery": "training_too"}, 6, 12),
        ({"max_queries": 3}, 3, 4),
    ],
)
def test_queries_are_held_out_triplets_over_images_of_the_validation_split(
    world: World, settings: dict[str, Any], queries: int, gallery: int
) -> None:
    _, store = world(validation=6)
    triplets = store.current("tiny", "triplets")
    assert triplets is not None
    read = read_validation(
        ValidationSettings(every_steps=1, **settings),
        triplets,
        above(store, triplets),
        0,
    )
    assert len(read.texts) == queries and len(read.gallery) == gallery
    held_out = {
        row["image_id"] for row in store.current("tiny", "splits").table().to_pylist() if row["split"] == "validation"
    }  # type: ignore[union-attr]
    paths = read.gallery["path"].to_pylist()
    assert {paths[row] for row in [*read.references, *read.targets]} <= held_out
    assert (read.references != read.targets).all()


def test_recalls_of_a_network_are_those_of_its_vectors(world: World) -> None:
    recipe, store = world(validation=6)
    triplets = store.current("tiny", "triplets")
    assert triplets is not None
    settings = ValidationSettings(every_steps=1)
    read = read_validation(settings, triplets, above(store, triplets), 0)
    network: Any = recipe.stage1_checkpoint.backbone.build(["make it red"], 0)
    network.eval()
    pictures = np.random.default_rng(0).integers(0, 255, (4, 3, 48, 48)).astype(np.uint8)
    found = Validation(settings, read, pictures).recalls(network, torch.device("cpu"), nullcontext())
    with torch.no_grad():
        gallery = network.encode_target(torch.from_numpy(pictures))
        queries = network.encode_query(torch.from_numpy(pictures[read.references]), network.tokenize(read.texts))
    ranks = ranks_of(queries, gallery, read.targets, read.references)
    assert found == {name: (ranks < k).mean() for name, k in zip(RECALLS, (1, 5, 10), strict=True)}
    assert not network.training


def test_a_deleted_ancestor_is_one_clear_error(world: World) -> None:
    import shutil

    _, store = world(validation=6)
    triplets, splits = store.current("tiny", "triplets"), store.current("tiny", "splits")
    assert triplets is not None and splits is not None
    shutil.rmtree(splits.path)
    with pytest.raises(StoreError, match=r"made of splits .* materialise splits again"):
        read_validation(ValidationSettings(every_steps=1), triplets, above(store, triplets), 0)
