"""A tiny corpus of shapes with its triplets, as the stages before training would leave it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spn4cir_core.embeddings.vectors import write_vectors
from spn4cir_core.images.files import image_files, pixel_sha256
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.training.settings import BankSettings, ControlSettings, Stage1Settings, Stage2Settings

CAPTIONS = ["red circle on a box", "blue circle on a box", "red circle on a box", "green star"]
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
        control_checkpoint=ControlSettings.model_validate(tables.get("control", {})),
        candidate_bank=BankSettings.model_validate(tables.get("bank", {})),
        stage2_checkpoint=Stage2Settings.model_validate(stage2),
    )


def put(
    store: Store,
    noun: str,
    tables: dict[str, pa.Table],
    parents: dict[str, Artifact] | None = None,
    vectors: np.ndarray | None = None,
) -> Artifact:
    """Publish an artefact with these tables and make it the recipe's current one."""
    content = fingerprint({name: table.to_pylist() for name, table in tables.items()})
    provenance = {"parents": {name: parent.fingerprint for name, parent in (parents or {}).items()}}
    if store.get(noun, content) is None:
        with store.writing(noun, content, provenance) as draft:
            for name, table in tables.items():
                draft.write_table(table, name)
            if vectors is not None:
                write_vectors(draft, [vectors], len(vectors), "float32")
    artifact = store.get(noun, content)
    assert artifact is not None
    store.point(RECIPE, artifact)
    return artifact


def put_ancestors(store: Store, images: list[str], pixels: list[str]) -> dict[str, Artifact]:
    """Publish what triplets are made of: the last four images are of the validation split, with one annotation."""
    held_out = images[-4:]
    vectors = np.random.default_rng(0).standard_normal((len(images), 6)).astype(np.float32)
    embeddings = put(
        store, "image_embeddings", {"image_embeddings.parquet": pa.table({"image_id": images})}, {}, vectors
    )
    split = ["validation" if image in held_out else "train" for image in images]
    splits = pa.table({"image_id": images, "split": split})
    pictures = {"image_id": images, "path": images, "pixel_sha256": pixels}
    pictures["category"] = [f"category {number % 2}" for number in range(len(images))]
    annotated = {
        "annotation_id": ["a0", "a1"],
        "reference_id": [held_out[0], images[0]],
        "target_id": [held_out[1], held_out[2]],
        "modified_text": [TEXTS[0], TEXTS[1]],
        "soft_targets": pa.array([[], []], pa.map_(pa.string(), pa.float32())),
    }
    captions = pa.table({"image_id": images, "caption": [CAPTIONS[n % len(CAPTIONS)] for n in range(len(images))]})
    return {
        "captions": put(store, "captions", {"captions.parquet": captions}),
        "images": put(store, "images", {"images.parquet": pa.table(pictures)}),
        "splits": put(store, "splits", {"splits.parquet": splits}, {"image_embeddings": embeddings}),
        "annotations": put(store, "annotations", {"annotated_triplets.parquet": pa.table(annotated)}),
    }


def put_triplets(
    store: Store,
    recipe: Recipe,
    count: int = 10,
    guards: list[tuple[str, str]] | None = None,
    validation: int = 0,
) -> None:
    """Publish ``count`` training triplets over the corpus's pictures, some held-out ones, and the guards."""
    images = sorted(file.path for file in recipe.images.reader.files(store.root))
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
    rows += [
        {
            "triplet_id": f"v{number:03d}",
            "reference_id": images[-1 - number % 4],
            "target_id": images[-1 - (number + 1) % 4],
            "modified_texts": TEXTS[number % 3 :],
            "weight": 1.0,
            "repeats": 1,
            "split": "validation",
        }
        for number in range(validation)
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
    files = image_files(recipe.images, store)
    pixels = [pixel_sha256(files.open(path)) for path in images]
    candidates = pa.table({"image_id": images, "path": images, "pixel_sha256": pixels})
    tables = {"triplets.parquet": pa.Table.from_pylist(rows, schema), "candidates.parquet": candidates}
    triplets = put(store, "triplets", tables, put_ancestors(store, images, pixels))
    guarded = pa.Table.from_pylist(
        [{"triplet_id": triplet, "image_id": image, "reason": "near_duplicate"} for triplet, image in guards or []],
        pa.schema([(name, pa.string()) for name in ("triplet_id", "image_id", "reason")]),
    )
    put(store, "false_negatives", {"false_negatives.parquet": guarded}, {"triplets": triplets})


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., tuple[Recipe, Store]]:
    def make(
        count: int = 10, guards: list[tuple[str, str]] | None = None, validation: int = 0, **tables: Any
    ) -> tuple[Recipe, Store]:
        recipe, store = tiny_recipe(**tables), Store(tmp_path / "store")
        put_triplets(store, recipe, count, guards, validation)
        return recipe, store

    return make
