"""Wrong hits of judged queries in stage 2: which triplets have some, and that their weight decides the training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spn4cir_core.annotations.annotation_tables import TRIPLET_SCHEMA, TRIPLETS_FILE
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training import stages
from spn4cir_core.training.stages import CANDIDATE_BANK, STAGE1_CHECKPOINT, STAGE2_CHECKPOINT
from spn4cir_core.training.training import Training
from spn4cir_core.triplets.triplet_tables import read_candidates
from tests.training.conftest import put, tiny_recipe

World = Callable[..., tuple[Recipe, Store]]
JUDGED = "annotated/judged_train/2"


def with_judged_triplet(store: Store, recipe: Recipe, wrong: list[str]) -> None:
    """The first training triplet is an annotated one, of a query of which these hits were judged to be wrong."""
    triplets, annotations = store.current(recipe.name, "triplets"), store.current(recipe.name, "annotations")
    assert triplets is not None and annotations is not None
    row = dict.fromkeys(TRIPLET_SCHEMA.names, "") | {"annotation_id": JUDGED.partition("/")[2], "modified_texts": []}
    row["soft_targets"] = [(name, -1.0) for name in wrong] + [("liked.png", 1.0)]
    judged = put(store, "annotations", {TRIPLETS_FILE: pa.Table.from_pylist([row], TRIPLET_SCHEMA)})
    table, candidates = triplets.table(), triplets.table("candidates.parquet")
    ids = [JUDGED, *table["triplet_id"].to_pylist()[1:]]
    table = table.set_column(table.schema.get_field_index("triplet_id"), "triplet_id", pa.array(ids))
    parents = {name: store.get(name, key) for name, key in triplets.summary["parents"].items() if name != "annotations"}
    tables = {"triplets.parquet": table, "candidates.parquet": candidates}
    new = put(store, "triplets", tables, {**parents, "annotations": judged})  # type: ignore[dict-item]
    guarded = pa.table(
        {"triplet_id": [JUDGED], "image_id": [candidates["image_id"].to_pylist()[-1]], "reason": ["near_duplicate"]}
    )
    put(store, "false_negatives", {"false_negatives.parquet": guarded}, {"triplets": new})


def trained(recipe: Recipe, store: Store, *parts: dict[str, Any]) -> Artifact:
    objective = {"kind": "mixture", "parts": [{"kind": "bank"}, *parts]}
    return STAGE2_CHECKPOINT.run(tiny_recipe(stage2={"objective": objective, "steps": 4}), store)[0]


def test_wrong_hits_are_rows_of_the_bank_and_their_weight_decides_the_training(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, store = world()
    triplets = store.current(recipe.name, "triplets")
    assert triplets is not None
    first, images = triplets.table().to_pylist()[0], read_candidates(triplets, "image_id")["image_id"].to_pylist()
    wrong = [row for row, name in enumerate(images) if name != first["target_id"]][3:5]
    with_judged_triplet(store, recipe, [*(images[row] for row in wrong), first["target_id"], "gone.png"])
    for stage in (STAGE1_CHECKPOINT, CANDIDATE_BANK):
        stage.run(recipe, store)
    rows: list[np.ndarray | None] = []
    train = stages.train_stage

    def counted(training: Training, *more: Any) -> None:
        rows.append(training.explicit_rows_TK)
        train(training, *more)

    monkeypatch.setattr(stages, "train_stage", counted)
    made = [trained(recipe, store)] + [
        trained(recipe, store, {"kind": "explicit_negatives", "weight": weight}) for weight in (0.5, 5.0)
    ]
    assert rows[0] is None and "triplets_with_explicit_negatives" not in made[0].details
    for rows_TK, artifact in zip(rows[1:], made[1:], strict=True):
        assert rows_TK is not None and rows_TK.shape == (10, 2)
        assert rows_TK[0].tolist() == wrong and (rows_TK[1:] == -1).all()
        assert artifact.details["triplets_with_explicit_negatives"] == 1
    assert len({one.file("model.safetensors").read_bytes() for one in made}) == 3
