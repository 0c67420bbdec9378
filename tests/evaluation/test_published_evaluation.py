"""Recall of published evaluations, re-created in a few lines from what they define, against ours: to the last hit.

The annotations are the real ones; vectors are drawn by image and by query, so that every query has some rank.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.evaluation.base import EVALUATORS, QuerySet
from spn4cir_core.evaluation.measure import Answers, GalleryQueries, by_gallery
from spn4cir_core.images.benchmark import NAME
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.images.genecis import TASKS, image_name
from spn4cir_core.images.manifest import read_manifest
from spn4cir_core.store.artifacts import Artifact, Store
from tests.evaluation.test_benchmark_evaluators import parents_of, stand_ins, validation_files, write

DIMENSIONS = 16


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


class Vectors:
    """Of images by their names in the benchmark, of queries by their target and a number."""

    def __init__(self, names: Sequence[str]) -> None:
        self.rows = {name: row for row, name in enumerate(sorted(names))}
        self.images = unit(np.random.default_rng(0).normal(size=(len(names), DIMENSIONS)))

    def of(self, names: Sequence[str]) -> np.ndarray:
        return self.images[[self.rows[name] for name in names]]

    def query(self, target: str, number: int) -> np.ndarray:
        noise = np.random.default_rng(number).normal(size=DIMENSIONS)
        return unit(self.images[self.rows[target]] + 0.35 * noise)


def sorted_names(query: np.ndarray, names: list[str], vectors: Vectors, without: Sequence[str] = ()) -> list[str]:
    """The gallery as published code sorts it: all distances, argsort, then what is taken out is taken out."""
    distances = 1 - vectors.of(names) @ query
    return [names[row] for row in np.argsort(distances) if names[row] not in without]


def ours(made: QuerySet, images: Artifact, vectors: Vectors, number_of: dict[str, tuple[str, int]]) -> dict[str, Any]:
    """Query id → rank of its target, and average precisions, by the package."""
    rows = read_manifest(images, "image_id", "attributes").to_pylist()
    name_of = {row["image_id"]: dict(row["attributes"])[NAME] for row in rows}
    answers = Answers(made)
    answers.start("model", "composed")
    for some, gallery in by_gallery(made):
        queries = np.stack([vectors.query(*number_of[made.queries[row].query_id]) for row in some])
        answered = GalleryQueries(made, some, gallery).answer(queries, vectors.of([name_of[one] for one in gallery]))
        answers.add("model", "composed", some, answered, np.arange(len(gallery) + 1))
    ranks, precision = answers.ranks["model", "composed"], answers.precision["model", "composed"]
    return {query.query_id: (int(ranks[row]), precision[row]) for row, query in enumerate(made.queries)}


def world(kind: str, shared_data: Path, tmp_path: Path) -> tuple[Path, dict[str, QuerySet], Artifact, Vectors]:
    folder = validation_files(kind, shared_data / "annotations" / kind, tmp_path / kind)
    parents = stand_ins(kind, folder, Store(tmp_path / "store"), as_published=True)
    evaluator = EVALUATORS.build({"kind": kind, "ties": "published"})
    sets = {made.name: made for made in evaluator.query_sets(parents, ImageFiles(folder), 0)}
    rows = read_manifest(parents["images"], "attributes").to_pylist()
    return folder, sets, parents["images"], Vectors([dict(row["attributes"])[NAME] for row in rows])


@pytest.mark.data
def test_fashioniq_in_its_four_protocols(shared_data: Path, tmp_path: Path) -> None:
    folder, sets, images, vectors = world("fashioniq", shared_data, tmp_path)
    triplets = {
        category: json.loads((folder / "captions" / f"cap.{category}.val.json").read_text())[:50]
        for category in ("dress", "shirt", "toptee")
    }
    numbers = {
        f"fashioniq/cap.{category}.val-{number}": (row["target"], number)
        for category in triplets
        for number, row in enumerate(json.loads((folder / "captions" / f"cap.{category}.val.json").read_text()))
    }
    for gallery in ("original", "union"):
        for fate in ("kept", "removed"):
            ranks = ours(sets[f"fashioniq {gallery} {fate}"], images, vectors, numbers)
            assert len(ranks) == 6016
            for category, rows in triplets.items():
                if gallery == "original":
                    names = json.loads((folder / "image_splits" / f"split.{category}.val.json").read_text())
                else:
                    whole = json.loads((folder / "captions" / f"cap.{category}.val.json").read_text())
                    names = sorted({row[side] for row in whole for side in ("candidate", "target")})
                for number, row in enumerate(rows):
                    without = [row["candidate"]] if fate == "removed" else []
                    order = sorted_names(vectors.query(row["target"], number), names, vectors, without)
                    assert order.index(row["target"]) == ranks[f"fashioniq/cap.{category}.val-{number}"][0]


@pytest.mark.data
def test_cirr_over_the_split_and_in_the_sets_of_six(shared_data: Path, tmp_path: Path) -> None:
    folder, sets, images, vectors = world("cirr", shared_data, tmp_path)
    rows = json.loads((folder / "captions" / "cap.rc2.val.json").read_text())
    numbers = {f"cirr/{row['pairid']}": (row["target_hard"], row["pairid"]) for row in rows}
    whole, subset = (ours(sets[name], images, vectors, numbers) for name in ("cirr", "cirr subset"))
    assert len(whole) == len(subset) == 4181
    names = list(json.loads((folder / "image_splits" / "split.rc2.val.json").read_text()))
    for row in rows[:400]:
        query, target = vectors.query(row["target_hard"], row["pairid"]), row["target_hard"]
        order = sorted_names(query, names, vectors, [row["reference"]])
        assert order.index(target) == whole[f"cirr/{row['pairid']}"][0]
        members = [name for name in order if name in row["img_set"]["members"]]
        assert members.index(target) == subset[f"cirr/{row['pairid']}"][0] and len(members) == 5


@pytest.mark.data
def test_circo_average_precision_and_recall(shared_data: Path, tmp_path: Path) -> None:
    folder, sets, images, vectors = world("circo", shared_data, tmp_path)
    rows = json.loads((folder / "annotations" / "val.json").read_text())
    numbers = {f"circo/{row['id']}": (str(row["target_img_id"]), row["id"]) for row in rows}
    every, first = (ours(sets[name], images, vectors, numbers) for name in ("circo", "circo first target"))
    names = list(vectors.rows)
    for row in rows:
        order = sorted_names(vectors.query(str(row["target_img_id"]), row["id"]), names, vectors)
        right = np.isin(np.array(order[:50], dtype=int), row["gt_img_ids"])
        precision = np.cumsum(right) * right / np.arange(1, 51)
        wanted = [float(precision[:k].sum() / min(len(row["gt_img_ids"]), k)) for k in (5, 10, 25, 50)]
        rank, precisions = every[f"circo/{row['id']}"]
        assert dict(zip(sets["circo"].map_ks, precisions, strict=True)) == pytest.approx(
            dict(zip((5, 10, 25, 50), wanted, strict=True))
        )
        assert rank == min(order.index(str(target)) for target in row["gt_img_ids"])
        assert order.index(str(row["target_img_id"])) == first[f"circo/{row['id']}"][0]


def test_genecis_ranks_the_target_among_its_own_gallery(tmp_path: Path) -> None:
    folder, random = tmp_path / "genecis", np.random.default_rng(3)
    for number in range(30):
        (folder / "val2017").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number * 8, 0, 90)).save(folder / "val2017" / f"{number:012d}.jpg")
    drawn = [random.permutation(30)[:16].tolist() for _ in range(25)]
    rows = [
        {"reference": coco(one), "target": coco(two), "gallery": [coco(other) for other in others], "condition": "bus"}
        for one, two, *others in drawn
    ]
    for task in TASKS:
        write(folder / "genecis" / f"{task}.json", rows if task == "change_object" else [])
    parents = parents_of("genecis", folder, Store(tmp_path / "store"), as_published=True)
    (made,) = EVALUATORS.build({"kind": "genecis", "ties": "published"}).query_sets(parents, ImageFiles(folder), 0)
    manifest = read_manifest(parents["images"], "attributes").to_pylist()
    vectors = Vectors([dict(row["attributes"])[NAME] for row in manifest])
    names = [[image_name(coco(number)) for number in row] for row in drawn]
    numbers = {f"genecis/change_object-{row}": (target, row) for row, (_, target, *_) in enumerate(names)}
    ranks = ours(made, parents["images"], vectors, numbers)
    for row, (_, target, *others) in enumerate(names):
        similarities = vectors.of([target, *others]) @ vectors.query(target, row)
        assert np.argsort(-similarities).tolist().index(0) == ranks[f"genecis/change_object-{row}"][0]


def coco(number: int) -> dict[str, int]:
    return {"val_image_id": number}
