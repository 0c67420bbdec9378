import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from spn4cir_core.annotations.annotation_files import Parser
from spn4cir_core.annotations.import_annotations import Layout, import_annotations
from spn4cir_core.annotations.import_fashioniq import joinings
from spn4cir_core.errors import InputError
from spn4cir_core.images.benchmark import published_names
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.triplets.export import _names, export_cirr, export_csv, export_fashioniq, export_triplets
from spn4cir_core.triplets.triplet import SCHEMA


@pytest.fixture
def triplets(compose: Callable[..., Artifact], rows: Any) -> Artifact:
    return compose([rows.annotation("q", "a", "b", "bluer")], [rows.pair("a", "c", "one", "two"), rows.pair("e", "f")])


def test_fashioniq_layout(triplets: Artifact, tmp_path: Path) -> None:
    path, images = export_fashioniq(triplets, tmp_path / "new" / "cap.json", origins="all")
    assert json.loads(path.read_text()) == [
        {"candidate": "a", "target": "b", "captions": ["bluer"], "caption1": "red cat", "caption2": "blue cat"},
        {
            "candidate": "a",
            "target": "c",
            "captions": ["one", "two"],
            "caption1": "red cat",
            "caption2": "red dog",
        },
    ]
    assert json.loads(images.read_text())["a"] == "./folder/zoo/a.png"
    assert images.name == "cap.images.json"


def test_cirr_layout(triplets: Artifact, tmp_path: Path) -> None:
    path, _ = export_cirr(triplets, tmp_path / "cap.json", origins="all")
    annotated, generated = json.loads(path.read_text())
    assert annotated == {
        "pairid": 0,
        "reference": "a",
        "target_hard": "b",
        "target_soft": {"b": 1.0},
        "caption": "bluer",
        "img_set": {"id": 0, "members": ["a", "b"]},
        "caption1": "red cat",
        "caption2": "blue cat",
    }
    assert generated["caption"] == ["one", "two"]
    assert generated["pairid"] == 1


@pytest.mark.parametrize(
    ("layout", "name", "reference"),
    [
        ("fashioniq", "cap.extend_tgcir.train.json", "candidate"),
        ("cirr", "cap.rc2.train.extend_tgcir.json", "reference"),
    ],
)
def test_published_classes_find_generated_triplets_alone_under_their_names(
    layout: Any, name: str, reference: str, triplets: Artifact, tmp_path: Path
) -> None:
    path, _ = export_triplets(triplets, layout, tmp_path, suffix="tgcir")
    assert path.name == name
    (row,) = json.loads(path.read_text())
    assert row[reference] == "a" and "c" in row.values()  # no folder, and no triplet that the benchmark's files hold
    with pytest.raises(InputError, match="no annotated ones of split 'evaluation'"):
        export_triplets(triplets, layout, tmp_path, "evaluation", "annotated")


def test_images_of_a_benchmark_have_its_names_whatever_their_files_are_called(
    triplets: Artifact, hand_written: Any, tmp_path: Path
) -> None:
    rows = [
        {"image_id": "zoo/a.png", "attributes": [("name", "B001"), ("galleries", "")]},
        {"image_id": "zoo/c.png", "attributes": [("name", "a title of one's own")]},
    ]
    pairs = pa.map_(pa.string(), pa.string())
    manifest = pa.Table.from_pylist(rows, pa.schema([("image_id", pa.string()), ("attributes", pairs)]))
    names = published_names(hand_written("images", images=manifest))
    assert names == {"zoo/a.png": "B001"}
    path, images = export_triplets(triplets, "cirr", tmp_path, published_names=names)
    (row,) = json.loads(path.read_text())
    assert (row["reference"], row["target_hard"]) == ("B001", "c")
    assert json.loads(images.read_text()) == {"B001": "./folder/zoo/a.png", "c": "./folder/zoo/c.png"}


def test_folders_stay_where_two_images_have_one_name() -> None:
    assert _names(["a/x.png", "b/x.png", "b/y.png", "b/y.jpg", "c/z.png"]) == {
        "a/x.png": "a/x",
        "b/x.png": "b/x",
        "b/y.png": "b/y.png",
        "b/y.jpg": "b/y.jpg",
        "c/z.png": "z",
    }


def test_other_splits_and_none(triplets: Artifact, tmp_path: Path) -> None:
    path, _ = export_cirr(triplets, tmp_path / "cap.json", split="evaluation")
    assert [row["reference"] for row in json.loads(path.read_text())] == ["e"]
    with pytest.raises(InputError, match="'validation'"):
        export_cirr(triplets, tmp_path / "none.json", split="validation")
    assert not (tmp_path / "none.json").exists()


def test_suffixes_stay_where_names_would_collide(hand_written: Any, tmp_path: Path) -> None:
    common = dict.fromkeys(SCHEMA.names) | {
        "split": "train",
        "origin": "generated",
        "modified_texts": ["t"],
        "reference_caption": "",
        "target_caption": "",
    }
    triplets = hand_written(
        "triplets",
        triplets=[
            common | {"reference_id": r, "target_id": t, "reference_path": r, "target_path": t}
            for r, t in (("a.png", "a.jpg"), ("a.png", "b.v2.jpg"))
        ],
    )
    path, images = export_fashioniq(triplets, tmp_path / "cap.json")
    assert [(row["candidate"], row["target"]) for row in json.loads(path.read_text())] == [
        ("a.png", "a.jpg"),
        ("a.png", "b.v2"),
    ]
    assert len(json.loads(images.read_text())) == 3


def test_a_folder_that_cannot_be_written(triplets: Artifact, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot export"):
        export_fashioniq(triplets, tmp_path / "file" / "cap.json")


@pytest.mark.parametrize("layout", ["fashioniq", "cirr"])
def test_what_is_exported_is_imported_as_it_was(layout: Layout, triplets: Artifact, tmp_path: Path) -> None:
    path, images = export_triplets(triplets, layout, tmp_path, origins="all")
    import_annotations(layout, [path], tmp_path / "triplets.csv", [images])
    assert texts_by_pair(tmp_path / "triplets.csv") == {
        ("folder/zoo/a.png", "folder/zoo/b.png"): ["bluer"],
        ("folder/zoo/a.png", "folder/zoo/c.png"): ["one", "two"],
    }


def test_csv_is_a_file_that_a_corpus_folder_may_hold(triplets: Artifact, tmp_path: Path) -> None:
    (path,) = export_csv(triplets, tmp_path / "new" / "triplets.csv")
    assert texts_by_pair(path) == {
        ("folder/zoo/a.png", "folder/zoo/b.png"): ["bluer"],
        ("folder/zoo/a.png", "folder/zoo/c.png"): ["one", "two"],
    }


def texts_by_pair(path: Path) -> dict[tuple[str, str], list[str]]:
    paths = {f"folder/zoo/{name}.png": f"folder/zoo/{name}.png" for name in "abc"}
    return {
        (row.reference_id, row.target_id): row.modified_texts
        for row in Parser("zoo", "", paths, {}).triplets(path.read_bytes())
    }


def test_human_captions_are_exported_as_fashioniq_has_them(
    compose: Callable[..., Artifact], rows: Any, tmp_path: Path
) -> None:
    two = rows.annotation("q", "a", "b") | {"modified_texts": list(joinings(["is red.", "longer"]))}
    path, _ = export_fashioniq(compose([two], [rows.pair("a", "c")]), tmp_path / "cap.json", origins="all")
    assert json.loads(path.read_text())[0] == {
        "candidate": "a",
        "target": "b",
        "captions": ["is red", "longer"],
    }
