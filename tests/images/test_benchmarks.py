"""The readers of published benchmarks, on folders in their publishers' layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from spn4cir_core.errors import InputError
from spn4cir_core.images.base import READERS, AnnotationFile, FoundFile, Reader


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 9), (len(path.stem) * 20 % 255, sum(path.stem.encode()) % 255, 7)).save(path)


def reader(kind: str, folder: Path, **settings: Any) -> Reader:
    made: Reader = READERS.build({"kind": kind, "folder": str(folder), **settings})
    return made


def files_by_path(made: Reader) -> dict[str, FoundFile]:
    return {file.path: file for file in made.files(Path("unused"))}


def annotations(made: Reader) -> list[AnnotationFile]:
    return list(made.annotation_files(Path("unused")))


@pytest.fixture
def fashioniq(tmp_path: Path) -> Path:
    for category, train, val in (("dress", ["A", "B"], ["C"]), ("shirt", ["C", "D"], ["E", "F"])):
        for split, names in (("train", train), ("val", val)):
            write(tmp_path / "image_splits" / f"split.{category}.{split}.json", names)
            write(tmp_path / "captions" / f"cap.{category}.{split}.json", [])
    for name in ("A.png", "B.jpg", "C.png", "D.png", "E.png"):
        picture(tmp_path / "images" / name)
    return tmp_path


def test_fashioniq_has_two_splits_and_galleries_by_category(fashioniq: Path) -> None:
    files = files_by_path(reader("fashioniq", fashioniq, categories=["dress", "shirt"]))
    assert {path: (file.split, file.category, file.attributes["galleries"]) for path, file in files.items()} == {
        "images/A.png": ("train", "dress", ""),
        "images/B.jpg": ("train", "dress", ""),
        "images/C.png": ("evaluation", "dress", "dress"),  # also listed for training, in another category
        "images/D.png": ("train", "shirt", ""),
        "images/E.png": ("evaluation", "shirt", "shirt"),
        "images/F.png": ("evaluation", "shirt", "shirt"),  # listed, but its file is missing: the scan counts it
    }


def test_fashioniq_captions_by_category(fashioniq: Path) -> None:
    files = annotations(reader("fashioniq", fashioniq, categories=["shirt"]))
    assert [(file.path, file.layout, file.holds) for file in files] == [
        ("captions/cap.shirt.train.json", "fashioniq", "triplets"),
        ("captions/cap.shirt.val.json", "fashioniq", "queries"),
    ]
    assert files[0].pictures["D"] == "images/D.png"


@pytest.fixture
def cirr(tmp_path: Path) -> Path:
    for split, table in (
        ("train", {"t1": "./train/3/t1.png"}),
        ("val", {"v1": "./dev/v1.png", "v2": "./dev/v2.png"}),
        ("test1", {"x1": "./test1/x1.png"}),
    ):
        write(tmp_path / "cirr" / "image_splits" / f"split.rc2.{split}.json", table)
        write(tmp_path / "cirr" / "captions" / f"cap.rc2.{split}.json", [])
        for path in table.values():
            picture(tmp_path / "img_raw" / path)
    return tmp_path


def test_cirr_is_evaluated_on_one_of_two_splits(cirr: Path) -> None:
    val = files_by_path(reader("cirr", cirr, pictures_folder="img_raw"))
    assert {path: file.split for path, file in val.items()} == {
        "img_raw/dev/v1.png": "evaluation",
        "img_raw/dev/v2.png": "evaluation",
        "img_raw/train/3/t1.png": "train",
    }
    test1 = reader("cirr", cirr, pictures_folder="img_raw", evaluate="test1")
    assert "img_raw/test1/x1.png" in files_by_path(test1) and "img_raw/dev/v1.png" not in files_by_path(test1)
    assert [(file.path, file.holds) for file in annotations(test1)] == [
        ("cirr/captions/cap.rc2.train.json", "triplets"),
        ("cirr/captions/cap.rc2.test1.json", "queries"),
    ]


def test_cirr_without_training_captions_has_queries_only(cirr: Path) -> None:
    (cirr / "cirr" / "captions" / "cap.rc2.train.json").unlink()
    assert [file.holds for file in annotations(reader("cirr", cirr))] == ["queries"]


@pytest.fixture
def circo(tmp_path: Path) -> Path:
    for number in (12, 345):
        picture(tmp_path / "COCO2017_unlabeled" / "unlabeled2017" / f"{number:012d}.jpg")
    write(tmp_path / "annotations" / "val.json", [])
    return tmp_path


def test_circo_is_for_evaluation_alone(circo: Path) -> None:
    files = files_by_path(reader("circo", circo)).values()
    assert [(file.split, file.attributes["name"]) for file in files] == [("evaluation", "12"), ("evaluation", "345")]
    (annotation,) = annotations(reader("circo", circo))
    assert annotation.pictures["345"] == "COCO2017_unlabeled/unlabeled2017/000000000345.jpg"


@pytest.mark.parametrize("kind", ["fashioniq", "cirr", "circo", "genecis"])
def test_a_folder_that_is_no_such_benchmark(kind: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read as JSON|holds none of the folders"):
        files_by_path(reader(kind, tmp_path))
    with pytest.raises(InputError, match="is not there; give the folder that holds"):
        files_by_path(reader(kind, tmp_path / "none"))


def test_together_reads_a_corpus_to_train_on_and_a_benchmark(tmp_path: Path, circo: Path) -> None:
    mine = tmp_path / "mine"
    picture(mine / "a.png")
    (mine / "triplets.csv").write_text("reference,target,modified_text\n")
    readers = [{"kind": "folder", "folder": str(mine)}, {"kind": "circo", "folder": str(circo)}]
    made = reader("together", tmp_path, readers=readers)
    assert {path: file.corpus for path, file in files_by_path(made).items()} == {
        "COCO2017_unlabeled/unlabeled2017/000000000012.jpg": "circo",
        "COCO2017_unlabeled/unlabeled2017/000000000345.jpg": "circo",
        "mine/a.png": "mine",
    }
    assert [(file.path, file.layout) for file in annotations(made)] == [
        ("mine/triplets.csv", "corpus"),
        ("annotations/val.json", "circo"),
    ]


def test_together_refuses_folders_elsewhere_and_the_same_corpus_twice(tmp_path: Path) -> None:
    for name in ("a/mine", "b/mine", "c"):
        picture(tmp_path / name / "a.png")
    elsewhere = [{"kind": "folder", "folder": str(tmp_path / "c")}]
    with pytest.raises(InputError, match="does not lie below"):
        files_by_path(reader("together", tmp_path / "a", readers=elsewhere))
    twice = [{"kind": "folder", "folder": str(tmp_path / name)} for name in ("a/mine", "b/mine")]
    with pytest.raises(InputError, match="two readers have a corpus 'mine'"):
        files_by_path(reader("together", tmp_path, readers=twice))


def moved(folder: Path, where: dict[str, str]) -> None:
    for old, new in where.items():
        (folder / new).parent.mkdir(parents=True, exist_ok=True)
        (folder / old).rename(folder / new)


def test_cirr_with_the_flat_folder_of_nlvr2(cirr: Path) -> None:
    moved(cirr, {"img_raw/train/3/t1.png": "train/t1.png", "img_raw/dev/v1.png": "nlvr2/dev/v1.PNG"})
    made = reader("cirr", cirr)
    assert {path: file.attributes["name"] for path, file in files_by_path(made).items()} == {
        "train/t1.png": "t1",
        "nlvr2/dev/v1.PNG": "v1",
        "img_raw/dev/v2.png": "v2",
    }
    assert annotations(made)[0].pictures["t1"] == "train/t1.png"


def test_fashioniq_with_a_folder_for_each_category(fashioniq: Path) -> None:
    moves = {"A.png": "dress/A.jpg", "C.png": "dress/C.jpg", "D.png": "shirt/D.jpg", "E.png": "shirt/E.jpg"}
    moved(fashioniq, {f"images/{old}": f"images/{new}" for old, new in moves.items()})
    picture(fashioniq / "images" / "a" / "C.jpg")  # the same name in another folder: the category's own goes first
    files = files_by_path(reader("fashioniq", fashioniq, categories=["dress", "shirt"]))
    assert set(files) == {f"images/{name}" for name in (*moves.values(), "B.jpg", "F.png")}


@pytest.mark.parametrize("anything", [True, False])
def test_a_split_without_any_picture_shows_what_was_expected_and_what_is_there(cirr: Path, anything: bool) -> None:
    for path in (cirr / "img_raw").rglob("*.png"):
        if not anything or path.stem != "v2":
            path.unlink()
    there = "for example 'img_raw/dev/v2.png'" if anything else "no picture at all"
    with pytest.raises(InputError, match="all 1 training pictures of cirr are missing") as caught:
        files_by_path(reader("cirr", cirr))
    assert str(caught.value).endswith(f"expected for example 'train/3/t1.png', found {there}")
