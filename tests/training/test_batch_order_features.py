from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.lineage import Ancestors
from spn4cir_core.training.batch_order_features import BatchOrderFeatures
from spn4cir_core.training.stages import READS_OF_TRIPLETS, STAGE1_CHECKPOINT
from spn4cir_core.training.triplet_batches import read_training_triplets

World = Callable[..., tuple[Recipe, Store]]


def facts(world: World, bank_ND: np.ndarray | None) -> tuple[BatchOrderFeatures, list[str]]:
    _, store = world()
    artifact = store.current("tiny", "triplets")
    assert artifact is not None
    triplets = read_training_triplets(artifact)
    images = triplets.candidates["image_id"].to_pylist()
    above = Ancestors(store, {"triplets": artifact}, READS_OF_TRIPLETS)
    return BatchOrderFeatures(above, triplets, bank_ND), [images[row] for row in triplets.targets]


def test_vectors_are_those_of_the_targets_in_the_image_encoder_or_the_bank(world: World) -> None:
    features, targets = facts(world, None)
    embeddings = features.ancestors["image_embeddings"]
    ids = embeddings.table()["image_id"].to_pylist()
    own = np.load(embeddings.file("vectors_00000.npy"))
    np.testing.assert_array_equal(features.vectors(), [own[ids.index(image)] for image in targets])
    bank = np.random.default_rng(0).standard_normal((12, 3, 5)).astype(np.float16)
    features, _ = facts(world, bank)
    expected = [bank[row].astype(np.float32).mean(axis=0) for row in features.triplets.targets]
    np.testing.assert_allclose(features.vectors(), expected, rtol=1e-6)


def test_categories_are_those_of_the_targets(world: World) -> None:
    features, targets = facts(world, None)
    images = features.ancestors["images"]
    known = {row["image_id"]: row["category"] for row in images.table().to_pylist()}
    assert list(features.categories()) == [known[image] for image in targets]


@pytest.mark.parametrize("kind", ["clustered", "same_category", "same_reference"])
def test_the_order_of_batches_is_a_setting(world: World, kind: str) -> None:
    plain, store = world()
    grouped, _ = world(stage1={"batches": kind})
    first, second = (STAGE1_CHECKPOINT.run(recipe, store)[0] for recipe in (plain, grouped))
    assert first.summary["files"]["model.safetensors"] != second.summary["files"]["model.safetensors"]
