"""Both stages train the heads of a frozen encoder, and the checkpoints answer without the trainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from spn4cir_core.evaluation.encode import encode_gallery, encode_queries
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training.checkpoints import as_module, load_checkpoint
from spn4cir_core.training.stages import CANDIDATE_BANK, STAGE1_CHECKPOINT, STAGE2_CHECKPOINT
from tests.embeddings.small_models import write_open_clip
from tests.training.conftest import world  # noqa: F401  a fixture

World = Callable[..., tuple[Recipe, Store]]


def test_both_stages_train_the_heads_alone(world: World, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "clip").mkdir()
    encoder = {"kind": "open_clip", **write_open_clip(tmp_path / "clip", 49408)}
    recipe, store = world(stage1={"backbone": {"kind": "frozen", "hidden": 16, "encoder": encoder}})
    stage1, _ = STAGE1_CHECKPOINT.run(recipe, store)
    CANDIDATE_BANK.run(recipe, store)
    stage2, _ = STAGE2_CHECKPOINT.run(recipe, store)
    first, second = load_checkpoint(stage1).network, load_checkpoint(stage2).network
    inputs = np.eye(first.dim, dtype=np.float32)[:3]
    np.testing.assert_array_equal(encode_gallery(first, inputs), encode_gallery(second, inputs))
    texts = ["make it red"] * 3
    one, other = (encode_queries(network, inputs, [0, 1, 2], texts)["composed"] for network in (first, second))
    assert not np.allclose(one, other, atol=1e-6), "stage 2 has moved the query side"
    names = set(as_module(second).state_dict())
    assert all(name.startswith(("image.", "text.head.", "query_image.")) for name in names), names
