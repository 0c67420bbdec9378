"""GeneCIS in its publishers' layout, with pictures drawn here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.errors import InputError
from spn4cir_core.images.base import READERS, Reader
from spn4cir_core.images.genecis import cropped, image_name, read_templates

OBJECT = {"image_id": "107", "instance_bbox": [4.0, 6.0, 10.0, 5.0]}
OTHER = {"image_id": 107, "instance_bbox": [0, 0, 8, 8]}


def template(reference: Any, target: Any, *gallery: Any) -> dict[str, Any]:
    return {"reference": reference, "target": target, "gallery": list(gallery), "condition": "colour"}


def write(folder: Path, task: str, rows: Any) -> None:
    (folder / "genecis").mkdir(exist_ok=True)
    (folder / "genecis" / f"{task}.json").write_text(json.dumps(rows), encoding="utf-8")


@pytest.fixture
def genecis(tmp_path: Path) -> Path:
    coco = [{"val_image_id": number} for number in (139, 285, 632)]
    write(tmp_path, "focus_object", [template(*coco)])
    write(tmp_path, "change_object", [template(coco[1], coco[0], coco[2])])
    gone = {"image_id": 999, "instance_bbox": [1, 1, 5, 5]}
    write(tmp_path, "focus_attribute", [template(OBJECT, OTHER, gone)])
    write(tmp_path, "change_attribute", [])
    for number in (139, 285, 632):
        path = tmp_path / "val2017" / f"{number:012d}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9), (number % 256, 0, 0)).save(path)
    (tmp_path / "VG_100K_all").mkdir()
    Image.effect_noise((40, 30), 90).convert("RGB").save(tmp_path / "VG_100K_all" / "107.jpg")
    return tmp_path


def reader(folder: Path, **settings: Any) -> Reader:
    made: Reader = READERS.build({"kind": "genecis", "folder": str(folder), **settings})
    return made


def test_pictures_of_all_tasks_and_objects_cut_out(genecis: Path) -> None:
    files = {file.path: file for file in reader(genecis).files(Path("unused"))}
    assert {path: file.attributes["galleries"] for path, file in files.items()} == {
        "crops/107_0_0_8_8.png": "focus_attribute",
        "crops/107_4_6_10_5.png": "focus_attribute",
        "crops/999_1_1_5_5.png": "focus_attribute",  # its picture is missing: the scan counts it
        "val2017/000000000139.jpg": "change_object|focus_object",
        "val2017/000000000285.jpg": "change_object|focus_object",
        "val2017/000000000632.jpg": "change_object|focus_object",
    }
    assert {file.split for file in files.values()} == {"evaluation"}
    assert sorted(path.name for path in (genecis / "crops").iterdir()) == ["107_0_0_8_8.png", "107_4_6_10_5.png"]
    before = (genecis / "crops" / "107_0_0_8_8.png").stat().st_mtime_ns
    list(reader(genecis).files(Path("unused")))
    assert (genecis / "crops" / "107_0_0_8_8.png").stat().st_mtime_ns == before


def test_an_object_is_cut_out_as_published() -> None:
    image = Image.effect_noise((40, 30), 90).convert("RGB")
    pixels = np.asarray(image)
    square = np.asarray(cropped(image, [4.0, 6.0, 10.0, 5.0]))
    # left max(0, 4 - 7) = 0, top 6 - 3.5 = 2.5; right 0 + 17, bottom 2.5 + 8.5 = 11
    assert square.shape == (17, 17, 3)
    assert np.array_equal(square[4:13], pixels[2:11, :17])
    assert not square[:4].any() and not square[13:].any()
    tall = np.asarray(cropped(image, [36.0, 0.0, 10.0, 20.0]))  # 29 to 40, 0 to 30
    assert tall.shape == (30, 30, 3) and np.array_equal(tall[:, 9:20], pixels[:, 29:40])


def test_tasks_without_objects_need_no_visual_genome(genecis: Path) -> None:
    (genecis / "VG_100K_all" / "107.jpg").unlink()
    (genecis / "VG_100K_all").rmdir()
    made = reader(genecis, tasks=["focus_object"])
    assert len(list(made.files(Path("unused")))) == 3
    (file,) = made.annotation_files(Path("unused"))
    assert (file.path, file.layout, file.holds) == ("genecis/focus_object.json", "genecis", "queries")
    assert file.pictures["000000000285"] == "val2017/000000000285.jpg"
    with pytest.raises(InputError, match="holds none of the folders"):
        list(reader(genecis).files(Path("unused")))


@pytest.mark.parametrize(
    "entry",
    [
        {"val_image_id": "../../etc"},
        {"val_image_id": -1},
        {"val_image_id": True},
        {"image_id": "7"},
        {"image_id": "7/../8", "instance_bbox": [0, 0, 1, 1]},
        {"image_id": 7, "instance_bbox": [0, 0, 1]},
        {"image_id": 7, "instance_bbox": [0, 0, float("nan"), 1]},
        "7",
    ],
)
def test_what_names_no_picture_is_refused(entry: Any, tmp_path: Path) -> None:
    write(tmp_path, "focus_object", [template({"val_image_id": 1}, {"val_image_id": 2}, entry)])
    with pytest.raises(InputError, match="template 0 is not"):
        read_templates(tmp_path / "genecis" / "focus_object.json")


def test_names_are_the_same_however_a_number_is_written() -> None:
    assert image_name({"image_id": "107", "instance_bbox": [4, 6.0, 10, 5]}) == image_name(OBJECT) == "107_4_6_10_5"
    assert image_name({"val_image_id": "139"}) == image_name({"val_image_id": 139}) == "000000000139"
