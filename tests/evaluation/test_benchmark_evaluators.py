"""FashionIQ, CIRR, CIRCO and GeneCIS from files in their publishers' layouts to query sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from spn4cir_core.annotations.settings import AnnotationSettings
from spn4cir_core.annotations.stage import ANNOTATIONS
from spn4cir_core.evaluation.base import EVALUATORS, QuerySet
from spn4cir_core.evaluation.measure import GalleryQueries
from spn4cir_core.images.benchmark import Benchmark
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.images.stage import IMAGES
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (8, 8))
    image.putdata([(number % 256, number // 256 % 256, pixel) for pixel in range(64)])
    image.save(path.with_suffix(".png"))


def parents_of(kind: str, folder: Path, store: Store, **reader: Any) -> dict[str, Artifact]:
    """Images and annotations by their stages, and splits as the benchmark asks for them."""
    recipe = Recipe.model_construct(
        name="test",
        seed=0,
        images=ImageSettings.model_validate({"reader": {"kind": kind, "folder": str(folder), **reader}}),
        annotations=AnnotationSettings(),
    )
    images, _ = IMAGES.run(recipe, store)
    annotations, _ = ANNOTATIONS.run(recipe, store)
    with store.writing("splits", "one", {}) as draft:
        draft.write_table(images.table(columns=["image_id", "split"]), "splits.parquet")
    splits = store.get("splits", "one")
    assert splits is not None
    return {"images": images, "annotations": annotations, "splits": splits}


def query_sets(kind: str, folder: Path, store: Path, **settings: Any) -> dict[str, QuerySet]:
    evaluator = EVALUATORS.build({"kind": kind, **settings})
    made = evaluator.query_sets(parents_of(kind, folder, Store(store)), ImageFiles(folder), 0)
    return {query_set.name: query_set for query_set in made}


def fashioniq(folder: Path) -> None:
    """Dress: A (training) and B, C, D, E; E has the pixels of D; F is missing."""
    for number, name in enumerate("ABCD"):
        picture(folder / "images" / name, number)
    picture(folder / "images" / "E", 3)
    for category in ("dress", "shirt", "toptee"):
        here = category == "dress"
        write(folder / "image_splits" / f"split.{category}.train.json", ["A"] if here else [])
        write(folder / "image_splits" / f"split.{category}.val.json", list("BCDEF") if here else [])
        write(folder / "captions" / f"cap.{category}.train.json", [])
        triplets = [
            {"candidate": "B", "target": "C", "captions": ["is red.", " and long? "]},
            {"candidate": "B", "target": "E", "captions": ["is blue", "is short"]},
            {"candidate": "B", "target": "F", "captions": ["is gone", "is lost"]},
        ]
        write(folder / "captions" / f"cap.{category}.val.json", triplets if here else [])


def test_fashioniq_has_four_corners(tmp_path: Path) -> None:
    fashioniq(tmp_path / "fiq")
    sets = query_sets("fashioniq", tmp_path / "fiq", tmp_path / "store")
    assert {name: (made.remove_reference, made.headline) for name, made in sets.items()} == {
        "fashioniq original kept": (False, True),
        "fashioniq original removed": (True, False),
        "fashioniq union kept": (False, False),
        "fashioniq union removed": (True, False),
    }
    original = sets["fashioniq original kept"]
    assert [(query.modified_text, query.target_ids, query.gallery) for query in original.queries] == [
        ("is red and and long", ("images/C.png",), "dress"),
        ("is blue and is short", ("images/D.png",), "dress"),  # E is D, pixel by pixel
    ]
    assert original.galleries == {"dress": ("images/B.png", "images/C.png", "images/D.png")}
    assert original.ks == (10, 50)
    assert "4 pictures were found, 1 of them equal pixel by pixel" in original.protocol
    assert original.drops == {"no known target": 1, "unknown target left out": 1}
    assert original.gallery_ids == sets["fashioniq union removed"].gallery_ids


@pytest.mark.parametrize("as_published", [False, True])
def test_published_queries_with_an_empty_caption_or_a_target_of_equal_pixels(
    tmp_path: Path, as_published: bool
) -> None:
    fashioniq(tmp_path / "fiq")
    triplets = [
        {"candidate": "B", "target": "C", "captions": ["", "is red."]},
        {"candidate": "D", "target": "E", "captions": ["the same", "again"]},  # D and E are equal pixel by pixel
        {"candidate": "D", "target": "D", "captions": ["itself", "again"]},
    ]
    write(tmp_path / "fiq" / "captions" / "cap.dress.val.json", triplets)
    parents = parents_of("fashioniq", tmp_path / "fiq", Store(tmp_path / "store"), as_published=as_published)
    with_reference, removed, *_ = EVALUATORS.build("fashioniq").query_sets(parents, ImageFiles(tmp_path), 0)
    first = ("and is red", ("images/C.png",)) if as_published else ("is red", ("images/C.png",))
    wanted = [first, ("the same and again", ("images/D.png",))] if as_published else [first]
    for made in (with_reference, removed):
        assert [(query.modified_text, query.target_ids) for query in made.queries] == wanted
        assert made.drops["same reference and target"] == (1 if as_published else 2)
    assert [removed.removed_for(query) for query in removed.queries] == [("images/B.png",), ()][: len(wanted)]
    gallery = GalleryQueries(removed, range(len(wanted)), removed.galleries["dress"])
    ranks, *_ = gallery.answer(np.eye(3, dtype=np.float32)[[0, 2]][: len(wanted)], np.eye(3, dtype=np.float32))
    assert ranks[1:].tolist() == [0][: len(wanted) - 1]  # the copy of the reference is found, as published


def test_ties_are_named_in_the_protocol(tmp_path: Path) -> None:
    fashioniq(tmp_path / "fiq")
    for ties, words in (("half", "half of those that tie"), ("published", "however close they are")):
        (made,) = query_sets(
            "fashioniq", tmp_path / "fiq", tmp_path / ties, ties=ties, galleries=["original"], references=["kept"]
        ).values()
        assert made.ties == ties and words in made.protocol


def cirr(folder: Path) -> None:
    names = [f"dev-{number}" for number in range(8)]
    for number, name in enumerate(names):
        picture(folder / "dev" / name, number)
    write(folder / "cirr" / "image_splits" / "split.rc2.train.json", {})
    write(folder / "cirr" / "image_splits" / "split.rc2.val.json", {name: f"./dev/{name}.png" for name in names})
    row = {"reference": "dev-0", "target_hard": "dev-1", "caption": "more", "target_soft": {"dev-1": 1.0}}
    group = {"id": 4, "members": names[:6]}
    rows = [
        {"pairid": 12, **row, "target_soft": {"dev-1": -1.0, "dev-0": 1.0}, "img_set": group},
        {"pairid": 3, **row, "reference": "dev-2", "img_set": {"id": 5, "members": ["dev-1", "dev-2", "dev-99"]}},
    ]
    write(folder / "cirr" / "captions" / "cap.rc2.val.json", rows)


def test_cirr_asks_the_split_and_each_querys_own_set(tmp_path: Path) -> None:
    cirr(tmp_path / "cirr_data")
    sets = query_sets("cirr", tmp_path / "cirr_data", tmp_path / "store")
    whole, subset = sets["cirr"], sets["cirr subset"]
    assert [query.query_id for query in whole.queries] == ["cirr/3", "cirr/12"]
    assert (len(whole.gallery_ids), whole.remove_reference, whole.ks) == (8, True, (1, 5, 10, 50))
    assert all("People rejected the target of 1 of the queries: cirr/12." in one.protocol for one in (whole, subset))
    (query,) = subset.queries
    assert query.query_id == "cirr/12" and subset.ks == (1, 2, 3)
    assert subset.gallery_of(query) == tuple(f"dev/dev-{number}.png" for number in range(6))
    assert subset.drops == {"an image of the query's set is not in the gallery": 1}


def circo(folder: Path) -> None:
    for number in range(6):
        picture(folder / "COCO2017_unlabeled" / "unlabeled2017" / f"{number:012d}", number)
    row = {
        "reference_img_id": 0,
        "target_img_id": 2,
        "gt_img_ids": [2, 4],
        "relative_caption": "has two",
        "shared_concept": "a dog",
        "semantic_aspects": ["cardinality", "addition"],
    }
    rows = [{"id": 0, **row}, {"id": 1, **row, "target_img_id": 77, "gt_img_ids": [77, 5]}]
    write(folder / "annotations" / "val.json", rows)


def test_circo_has_all_targets_for_map_and_the_first_for_recall(tmp_path: Path) -> None:
    circo(tmp_path / "circo_data")
    sets = query_sets("circo", tmp_path / "circo_data", tmp_path / "store")
    assert set(sets) == {"circo", "circo first target", "circo with concept", "circo with concept first target"}
    folder = "COCO2017_unlabeled/unlabeled2017/00000000000"
    made = sets["circo"]
    assert [(query.target_ids, query.kind) for query in made.queries] == [
        ((f"{folder}2.png", f"{folder}4.png"), "cardinality|addition"),
        ((f"{folder}5.png",), "cardinality|addition"),
    ]
    assert (made.map_ks, made.remove_reference, len(made.gallery_ids)) == ((5, 10, 25, 50), False, 6)
    assert made.drops == {"unknown target left out": 1}
    first = sets["circo with concept first target"]
    assert [(query.modified_text, query.target_ids) for query in first.queries] == [
        ("a dog that has two", (f"{folder}2.png",))
    ]


def genecis(folder: Path) -> None:
    """Pictures 0 to 5 of COCO, of which 5 has the pixels of 4; objects of one picture of Visual Genome."""
    for number in range(6):
        path = folder / "val2017" / f"{number:012d}"
        picture(path, min(number, 4))
        path.with_suffix(".png").rename(path.with_suffix(".jpg"))
    (folder / "VG_100K_all").mkdir()
    noise = Image.effect_noise((64, 48), 90).convert("RGB")
    noise.save(folder / "VG_100K_all" / "7.jpg", quality=95)
    coco = [{"val_image_id": number} for number in range(7)]
    objects = [{"image_id": "7", "instance_bbox": [corner, corner, 20, 16]} for corner in (0, 16, 24, 32)]
    change = [
        {"reference": coco[0], "target": coco[1], "gallery": [coco[2], coco[3], coco[1]], "condition": "bus"},
        {"reference": coco[1], "target": coco[5], "gallery": [coco[2], coco[4]], "condition": " car "},
        {"reference": coco[1], "target": coco[2], "gallery": [coco[6]], "condition": "gone"},
    ]
    focus = [{"reference": objects[0], "target": objects[1], "gallery": objects[2:], "condition": "colour"}]
    tasks = {"change_object": change, "focus_object": [], "focus_attribute": focus, "change_attribute": []}
    for task, rows in tasks.items():
        write(folder / "genecis" / f"{task}.json", rows)


def test_genecis_asks_each_query_of_its_own_gallery(tmp_path: Path) -> None:
    genecis(tmp_path / "genecis_data")
    sets = query_sets("genecis", tmp_path / "genecis_data", tmp_path / "store")
    assert list(sets) == ["genecis focus attribute", "genecis change object"]
    made = sets["genecis change object"]
    names = [f"val2017/00000000000{number}.jpg" for number in range(6)]
    assert [(query.query_id, query.modified_text, query.target_ids) for query in made.queries] == [
        ("genecis/change_object-0", "bus", (names[1],)),
        ("genecis/change_object-1", "car", (names[4],)),  # 5 is 4, pixel by pixel
    ]
    assert made.gallery_of(made.queries[0]) == tuple(names[1:4])
    assert made.gallery_of(made.queries[1]) == (names[2], names[4])
    assert set(made.gallery_ids) == set(names[:5])
    assert (made.remove_reference, made.headline, made.ks) == (False, True, (1, 2, 3))
    assert made.drops == {"an image of the query's gallery is missing": 1}
    (query,) = sets["genecis focus attribute"].queries
    assert query.target_ids == ("crops/7_16_16_20_16.png",)
    assert len(sets["genecis focus attribute"].gallery_of(query)) == 3
    assert "own 2 to 3 images (COCO 2017 validation; 6 pictures were found, 1 of them equal pixel" in made.protocol


@pytest.mark.data
@pytest.mark.parametrize(("kind", "queries", "dropped"), [("fashioniq", 6016, 0), ("cirr", 4181, 0), ("circo", 220, 0)])
def test_the_published_files(kind: str, queries: int, dropped: int, shared_data: Path, tmp_path: Path) -> None:
    """Every validation query of the real annotation files is asked, over stand-ins for the pictures."""
    folder = validation_files(kind, shared_data / "annotations" / kind, tmp_path / kind)
    parents = stand_ins(kind, folder, Store(tmp_path / "store"))
    evaluator = EVALUATORS.build({"kind": kind})
    for made in evaluator.query_sets(parents, ImageFiles(folder), 0):
        assert len(made.queries) == queries, made.name
        assert sum(made.drops.values()) == dropped, made.name


def validation_files(kind: str, annotations: Path, folder: Path) -> Path:
    """A benchmark's folder with its real files of validation, and nothing to train on."""
    for source in annotations.rglob("*.json"):
        if "train" not in source.name or source.parent.name == "image_splits":
            target = folder / source.relative_to(annotations)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    for split in ("dress", "shirt", "toptee") if kind == "fashioniq" else ():
        write(folder / "captions" / f"cap.{split}.train.json", [])
        write(folder / "image_splits" / f"split.{split}.train.json", [])
    if kind == "cirr":
        write(folder / "image_splits" / "split.rc2.train.json", {})
    return folder


def stand_ins(kind: str, folder: Path, store: Store, **settings: Any) -> dict[str, Artifact]:
    """Manifest, splits and annotations as if every picture were there: thousands of files would take minutes."""
    if kind == "circo":
        rows = [row for path in (folder / "annotations").glob("*.json") for row in json.loads(path.read_text())]
        ids = {number for row in rows for number in (row["reference_img_id"], *row.get("gt_img_ids", ()))}
        for number in ids:
            path = folder / "COCO2017_unlabeled" / "unlabeled2017" / f"{number:012d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    recipe = Recipe.model_construct(
        name="test",
        seed=0,
        images=ImageSettings.model_validate({"reader": {"kind": kind, "folder": str(folder), **settings}}),
        annotations=AnnotationSettings(),
    )
    reader = recipe.images.reader
    assert isinstance(reader, Benchmark)
    files = sorted(reader.located(folder), key=lambda file: file.path)
    with store.writing("images", "one", {}) as draft:
        draft.write_table(
            pa.table(
                {
                    "image_id": [file.path for file in files],
                    "corpus": [file.corpus for file in files],
                    "split": [file.split for file in files],
                    "attributes": pa.array(
                        [list(file.attributes.items()) for file in files], pa.map_(pa.string(), pa.string())
                    ),
                }
            ),
            "images.parquet",
        )
        empty = {"image_id": [], "path": [], "duplicate_of": [], "attributes": [], "reason": [], "detail": []}
        nothing = pa.table({name: pa.array(values, pa.string()) for name, values in empty.items()})
        draft.write_table(nothing, "duplicates.parquet")
        draft.write_table(nothing, "drops.parquet")
    images = store.get("images", "one")
    assert images is not None
    store.point("test", images)
    with store.writing("splits", "one", {}) as draft:
        draft.write_table(images.table(columns=["image_id", "split"]), "splits.parquet")
    splits = store.get("splits", "one")
    annotations, _ = ANNOTATIONS.run(recipe, store)
    assert splits is not None
    return {"images": images, "annotations": annotations, "splits": splits}
