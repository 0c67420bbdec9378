"""Both stages train adapters alone, and the checkpoints answer without the trainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spn4cir_core.evaluation.encode import encode_gallery, encode_queries
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training.checkpoints import load_checkpoint
from spn4cir_core.training.stages import CANDIDATE_BANK, STAGE1_CHECKPOINT, STAGE2_CHECKPOINT
from tests.backbones.small_backbones import write_lora
from tests.training.conftest import world  # noqa: F401  a fixture

World = Callable[..., tuple[Recipe, Store]]


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_both_stages_train_the_adapters(world: World, tmp_path: Path, chunk_size: int | None) -> None:  # noqa: F811
    table = write_lora(tmp_path)
    recipe, store = world(stage1={"backbone": table, "chunk_size": chunk_size, "steps": 3}, stage2={"steps": 3})
    stage1, _ = STAGE1_CHECKPOINT.run(recipe, store)
    CANDIDATE_BANK.run(recipe, store)
    stage2, _ = STAGE2_CHECKPOINT.run(recipe, store)
    first, second = load_checkpoint(stage1), load_checkpoint(stage2).network
    start = first.backbone.build([], 0)
    inputs = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    targets = encode_gallery(first.network, inputs)
    np.testing.assert_array_equal(targets, encode_gallery(second, inputs))
    assert not np.allclose(targets, encode_gallery(start, inputs), atol=1e-6), "stage 1 has moved both sides"
    texts = ["make it red"] * 3
    one, other = (encode_queries(network, inputs, [0, 1, 2], texts)["composed"] for network in (first.network, second))
    assert not np.allclose(one, other, atol=1e-6), "stage 2 has moved the query side"
