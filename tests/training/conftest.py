"""A tiny corpus of shapes with its triplets, as the stages before training would leave it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from spn4cir_core.artifacts import Artifact, Store
from spn4cir_core.fingerprints import fingerprint
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.recipe import Recipe
from spn4cir_core.training.settings import BankSettings, ControlSettings, Stage1Settings, Stage2Settings

TEXTS = ["make it red", "add a small star at the top", "remove the blue circle"]
RECIPE = "tiny"


def tiny_recipe(**tables: Any) -> Recipe:
    schedule = {"steps": 7, "batch_size": 4, "save_every_steps": 2, "threads": 1, "device": "cpu"}
    stage1 = {
        "backbone": {"kind": "small", "dim": 16},
        "objective": {"kind": "in_batch"},
        **schedule,
        **tables.get("stage1", {}),
    }
    stage2 = {"objective": {"kind": "bank"}, **schedule, **tables.get("stage2", {})}
    reader = {"kind": "shapes", "scenes": 3, "edits": 3, "test_scenes": 0}
    return Recipe.model_construct(
        name=RECIPE,
        seed=tables.get("seed", 0),
        images=ImageSettings.model_validate({"reader": reader}),
        stage1_checkpoint=Stage1Settings.model_validate(stage1),
        control_checkpoint=ControlSettings(),
        candidate_bank=BankSettings.model_validate(tables.get("bank", {})),
        stage2_checkpoint=Stage2Settings.model_validate(stage2),
    )


def put(store: Store, noun: str, tables: dict[str, pa.Table], parents: dict[str, Artifact] | None = None) -> Artifact:
    """Publish an artefact with these tables and make it the recipe's current one."""
    mark = fingerprint({name: table.to_pylist() for name, table in tables.items()})
    provenance = {"parents": {name: parent.fingerprint for name, parent in (parents or {}).items()}}
    if store.get(noun, mark) is None:
        with store.writing(noun, mark, provenance) as draft:
            for name, table in tables.items():
                draft.write_table(table, name)
    artifact = store.get(noun, mark)
    assert artifact is not None
    store.point(RECIPE, artifact)
    return artifact


def put_triplets(store: Store, recipe: Recipe, count: int = 10, guards: list[tuple[str, str]] | None = None) -> None:
    """Publish ``count`` training triplets over the corpus's pictures, one held-out one, and the guards."""
    images = sorted(found.path for found in recipe.images.reader.files(store.root))
    rows = [
        {
            "triplet_id": f"t{number:03d}",
            "reference_id": images[number % len(images)],
            "target_id": images[(number * 3 + 1) % len(images)],
            "modified_texts": TEXTS[: 1 + number % 3],
            "weight": 1.0,
            "repeats": 1 + number % 2,
            "split": "train" if number < count else "evaluation",
        }
        for number in range(count + 1)
    ]
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("triplet_id", "reference_id", "target_id")),
            ("modified_texts", pa.list_(pa.string())),
            ("weight", pa.float32()),
            ("repeats", pa.int32()),
            ("split", pa.string()),
        ]
    )
    candidates = pa.table({"image_id": images, "path": images, "pixel_sha256": [f"sha of {path}" for path in images]})
    tables = {"triplets.parquet": pa.Table.from_pylist(rows, schema), "candidates.parquet": candidates}
    triplets = put(store, "triplets", tables)
    guarded = pa.Table.from_pylist(
        [{"triplet_id": triplet, "image_id": image, "reason": "near_duplicate"} for triplet, image in guards or []],
        pa.schema([(name, pa.string()) for name in ("triplet_id", "image_id", "reason")]),
    )
    put(store, "false_negatives", {"false_negatives.parquet": guarded}, {"triplets": triplets})


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., tuple[Recipe, Store]]:
    def make(count: int = 10, guards: list[tuple[str, str]] | None = None, **tables: Any) -> tuple[Recipe, Store]:
        recipe, store = tiny_recipe(**tables), Store(tmp_path / "store")
        put_triplets(store, recipe, count, guards)
        return recipe, store

    return make
