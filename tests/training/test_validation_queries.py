from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.lineage import Ancestors
from spn4cir_core.training import validation_queries
from spn4cir_core.training.settings import ValidationSettings
from spn4cir_core.training.stages import READS_OF_TRIPLETS
from spn4cir_core.training.validation_queries import ValidationQueries, read_validation
from tests.training.conftest import CAPTIONS, put

World = Callable[..., tuple[Recipe, Store]]


def above(store: Store, triplets: Artifact) -> Ancestors:
    return Ancestors(store, {"triplets": triplets}, READS_OF_TRIPLETS)


@pytest.mark.parametrize(
    ("settings", "queries", "gallery"),
    [
        ({}, 7, 4),
        ({"origins": ["annotated"]}, 1, 4),
        ({"origins": ["generated"], "gallery": "training_too"}, 6, 12),
        ({"origins": ["generated"], "gallery": "training_too", "max_training_images": 3}, 6, 7),
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
    assert read is not None
    assert len(read.texts) == queries and len(read.gallery) == gallery
    held_out = {
        row["image_id"] for row in store.current("tiny", "splits").table().to_pylist() if row["split"] == "validation"
    }  # type: ignore[union-attr]
    paths = read.gallery["path"].to_pylist()
    assert {paths[row] for row in [*read.references, *read.targets]} <= held_out
    assert (read.references != read.targets).all()


def test_a_deleted_ancestor_is_one_clear_error(world: World) -> None:
    import shutil

    _, store = world(validation=6)
    triplets, splits = store.current("tiny", "triplets"), store.current("tiny", "splits")
    assert triplets is not None and splits is not None
    shutil.rmtree(splits.path)
    with pytest.raises(StoreError, match=r"made of splits .* materialise splits again"):
        read_validation(ValidationSettings(every_steps=1), triplets, above(store, triplets), 0)


def caption_edits(store: Store, captions: list[str], **settings: Any) -> ValidationQueries | None:
    """The queries where the four pictures of the validation split have these captions."""
    triplets = store.current("tiny", "triplets")
    assert triplets is not None
    ancestors = dict(above(store, triplets))
    held_out = [row for row in ancestors["splits"].table().to_pylist() if row["split"] == "validation"]
    table = pa.table({"image_id": [row["image_id"] for row in held_out], "caption": captions})
    captioned = put(store, "captions", {"captions.parquet": table})
    given = ValidationSettings(every_steps=1, **{"queries": "caption_edits", **settings})
    return read_validation(given, triplets, {**ancestors, "captions": captioned}, 0)


def test_caption_edits_exclude_the_reference_and_other_pictures_that_answer(world: World) -> None:
    _, store = world()
    read = caption_edits(store, CAPTIONS)
    assert read is not None
    pairs = {(int(reference), int(target)) for reference, target in zip(read.references, read.targets, strict=True)}
    assert pairs <= {(0, 1), (2, 1), (1, 0), (1, 2)} and {reference for reference, _ in pairs} == {0, 1, 2}
    for reference, target, excluded in zip(read.references, read.targets, read.excluded, strict=True):
        same = {2: 0, 0: 2}.get(int(target))
        assert set(excluded.tolist()) == {int(reference)} | ({same} - {None})
    for text, target in zip(read.texts, read.targets, strict=True):
        assert ("blue" in text) if target == 1 else ("red" in text)


def test_each_reference_has_several_edits_each_pair_once_and_the_first_draw_stands_first(world: World) -> None:
    _, store = world()
    one, several = caption_edits(store, CAPTIONS), caption_edits(store, CAPTIONS, targets_per_reference=8)
    assert one is not None and several is not None
    assert several.texts[: len(one.texts)] == one.texts
    pairs = list(zip(several.references.tolist(), several.targets.tolist(), strict=True))
    assert len(pairs) == len(set(pairs)) and set(pairs) <= {(0, 1), (2, 1), (1, 0), (1, 2)}
    limited = caption_edits(store, CAPTIONS, targets_per_reference=8, max_queries=2)
    assert limited is not None and len(limited.texts) == 2


def test_captions_that_share_no_words_give_one_clear_error(world: World) -> None:
    _, store = world()
    with pytest.raises(InputError, match="no two captions of the 4 captioned pictures"):
        caption_edits(store, ["red circle", "blue star", "a tall green house", "one dog"])


def test_auto_takes_annotated_triplets_then_caption_edits_and_nothing_where_both_are_few(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, store = world(validation=6)

    def source(least: int) -> str | None:
        monkeypatch.setattr(validation_queries, "LEAST_QUERIES", least)
        read = caption_edits(store, CAPTIONS, queries="auto")
        return None if read is None else read.source

    annotated, edits = 1, 3
    assert [source(least) for least in (annotated, edits, edits + 1)] == ["triplets", "caption_edits", None]
