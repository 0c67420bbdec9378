from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from spn4cir_core.errors import InputError
from spn4cir_core.images.base import FoundFile
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.images.folder import Folder


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / path, "PNG")


def files_of(root: Path, **settings: Any) -> dict[str, FoundFile]:
    return {file.path: file for file in Folder(folder=root, **settings).files(root / "store")}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_the_layout_of_imagefolder_gives_texts_splits_and_categories(tmp_path: Path) -> None:
    touch(tmp_path, "train/a.png", "train/cats/b.png", "test/c.png")
    write(tmp_path / "train" / "metadata.csv", "file_name,text\na.png,a red hat\ncats/b.png,a cat\n")
    write(tmp_path / "test" / "metadata.jsonl", json.dumps({"file_name": "c.png", "text": "a blue hat"}))
    files = files_of(tmp_path)
    assert {path: (file.split, file.category, file.attributes["text"]) for path, file in files.items()} == {
        "train/a.png": ("train", "", "a red hat"),
        "train/cats/b.png": ("train", "cats", "a cat"),
        "test/c.png": ("evaluation", "", "a blue hat"),
    }
    assert {file.split for file in files_of(tmp_path, split_folders=False).values()} == {""}


@pytest.mark.parametrize("other", ["hats", "training"])
def test_folders_are_splits_only_where_all_are_and_there_are_two(tmp_path: Path, other: str) -> None:
    touch(tmp_path, "train/a.png", f"{other}/b.png")
    categories = {(file.split, file.category) for file in files_of(tmp_path).values()}
    assert categories == {("", other), ("", "train")}


def test_the_table_next_to_a_picture_goes_first_and_the_one_above_fills_its_gaps(tmp_path: Path) -> None:
    touch(tmp_path, "hats/a.png", "b.png")
    write(tmp_path / "metadata.csv", "file,title,brand\nhats/a.png,general,acme\nb.png,bag,acme\n")
    write(tmp_path / "hats" / "metadata.csv", "file,title,brand\na.png,red hat,\n")
    files = files_of(tmp_path)
    assert files["hats/a.png"].attributes == {"title": "red hat", "brand": "acme"}
    assert files["b.png"].attributes == {"title": "bag", "brand": "acme"}


@pytest.mark.parametrize(
    "table",
    [
        "file;title\ntee\\a.jpg;Größe 1\n",
        "file\ttitle\ntee/A.JPG\tGröße 1\n",
        'File Name,title\na.jpg,"Größe 1"\n',
        "image|title\nhttps://x.example/a.jpg?v=1|Größe 1\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_other_delimiters_spellings_and_encodings(tmp_path: Path, table: str, encoding: str) -> None:
    touch(tmp_path, "tee/a.jpg", "tee/b.jpg")
    (tmp_path / "metadata.csv").write_bytes(table.encode(encoding))
    files = files_of(tmp_path)
    assert set(files) == {"tee/a.jpg", "tee/b.jpg"}
    assert files["tee/a.jpg"].attributes == {"title": "Größe 1"}


def test_several_pictures_of_a_row_are_one_group(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    write(tmp_path / "metadata.csv", 'file,title\n"a.jpg, b.jpg",red shoe\nc.jpg,bag\n')
    files = files_of(tmp_path)
    assert [(file.group, file.attributes["title"]) for file in files.values()] == [
        ("a.jpg", "red shoe"),
        ("a.jpg", "red shoe"),
        ("", "bag"),
    ]


def test_a_column_group_is_the_group_unless_another_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    write(tmp_path / "metadata.csv", "file,group,maker\na.jpg,shoe-1,acme\n")
    assert files_of(tmp_path)["a.jpg"].group == "shoe-1"
    assert files_of(tmp_path, group_column="maker")["a.jpg"].group == "acme"


COCO = {
    "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
    "annotations": [
        {"image_id": 1, "caption": "a red hat"},
        {"image_id": 1, "caption": "headgear", "category_id": 7},
        {"image_id": 2, "category_id": 7},
    ],
    "categories": [{"id": 7, "name": "hat"}],
}


@pytest.mark.parametrize("name", ["metadata.json", "_annotations.coco.json"])
def test_cocos_layout(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "val2017/a.jpg", "val2017/b.jpg")
    write(tmp_path / name, json.dumps(COCO))
    files = files_of(tmp_path)
    assert files["val2017/a.jpg"].attributes == {"caption": '["a red hat", "headgear"]', "label": "hat"}
    assert files["val2017/b.jpg"].attributes == {"caption": "", "label": "hat"}


@pytest.mark.parametrize("content", ['{"name": "my data"}', "[1, 2]", "{", '[{"name": "x"}]'])
def test_other_json_of_that_name_is_left_alone(tmp_path: Path, content: str) -> None:
    touch(tmp_path, "a.jpg")
    write(tmp_path / "metadata.json", content)
    assert files_of(tmp_path)["a.jpg"].attributes == {}


def test_names_that_match_nothing_are_counted_or_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "hat-1.jpg", "shoe.jpg")
    write(tmp_path / "metadata.csv", "file,title\nhat_2.jpg,hat\nshoe.jpg,shoe\n")
    with caplog.at_level(logging.WARNING):
        assert set(files_of(tmp_path)) == {"hat-1.jpg", "hat_2.jpg", "shoe.jpg"}
    assert "1 name of the table matches no picture, e.g. 'hat_2.jpg'; the nearest picture is 'hat-1.jpg'" in caplog.text
    write(tmp_path / "metadata.csv", "file,title\nhat_2.jpg,hat\nhat_3.jpg,shoe\n")
    with pytest.raises(InputError, match=r"2 names of the table match no picture, e\.g\. 'hat_2\.jpg'.*'hat-1\.jpg'"):
        files_of(tmp_path)


def hub_cache(root: Path) -> Path:
    """A snapshot whose files are links into the blobs beside it, as a hub's cache has them."""
    touch(root / "blobs", "0a1b")
    snapshot = root / "snapshots" / "f00"
    write(root / "blobs" / "2c3d", "file_name,text\na.png,a hat\n")
    snapshot.mkdir(parents=True)
    (snapshot / "a.png").symlink_to(root / "blobs" / "0a1b")
    (snapshot / "metadata.csv").symlink_to(root / "blobs" / "2c3d")
    return snapshot


def test_links_into_a_hub_cache_are_followed_by_option_and_else_named(tmp_path: Path) -> None:
    snapshot = hub_cache(tmp_path)
    with pytest.raises(InputError, match=rf'links_into = "{tmp_path}/blobs"'):
        files_of(snapshot)
    reader = Folder(folder=snapshot, links_into=tmp_path / "blobs")
    (file,) = reader.files(tmp_path)
    assert file.attributes == {"text": "a hat"}
    files = ImageFiles(snapshot, linked_folders=reader.linked_folders())
    assert files.open("a.png").size == (8, 8)
    with pytest.raises(InputError, match=rf'links_into = "{tmp_path}/blobs"'):
        ImageFiles(snapshot).open("a.png")


def test_the_option_opens_nothing_but_links(tmp_path: Path) -> None:
    snapshot = hub_cache(tmp_path)
    (tmp_path / "secret").write_text("secret")
    (snapshot / "b.png").symlink_to(tmp_path / "secret")
    files = ImageFiles(snapshot, linked_folders=(tmp_path / "blobs",))
    for path in ("../../blobs/0a1b", str(tmp_path / "blobs" / "0a1b"), "b.png"):
        with pytest.raises(InputError, match="outside the root"):
            files.locate(path)
    with pytest.raises(InputError, match=r"links_into: .* is not a folder"):
        files_of(snapshot, links_into=tmp_path / "none")


@pytest.mark.parametrize("table", ["name,colour\nx,red\n", "file\nx.jpg\ny.jpg\n", "file\n\udcff.jpg\n"])
def test_an_unusable_table_further_down_is_left_alone(
    tmp_path: Path, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "hats/a.jpg")
    (tmp_path / "hats" / "metadata.csv").write_bytes(table.encode(errors="surrogateescape"))
    with caplog.at_level(logging.WARNING):
        assert set(files_of(tmp_path)) == {"hats/a.jpg"}
    assert "The table is not used" in caplog.text
    (tmp_path / "metadata.csv").write_bytes((tmp_path / "hats" / "metadata.csv").read_bytes())
    with pytest.raises(InputError):
        files_of(tmp_path)


@pytest.mark.parametrize(
    ("header", "shop"), [("Handle,Title,Image Src", "shopify"), ("ID,SKU,Name,Regular price", "woocommerce")]
)
def test_a_shops_export_as_it_is_names_its_importer(tmp_path: Path, header: str, shop: str) -> None:
    touch(tmp_path, "a.jpg")
    write(tmp_path / "metadata.csv", f"{header}\n{',' * header.count(',')}\n")
    with pytest.raises(InputError, match=f"spn4cir import --format {shop}"):
        files_of(tmp_path)
