from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pydantic import ValidationError

from spn4cir_core.errors import InputError
from spn4cir_core.images.base import FoundFile
from spn4cir_core.images.folder import Folder
from spn4cir_core.store import folder_state
from spn4cir_core.store.fingerprints import plain


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / path, "PNG")


def files_of(root: Path, **settings: Any) -> list[FoundFile]:
    return list(Folder(folder=root, **settings).files(root / "store"))


def test_one_corpus_whose_first_directories_are_categories(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    touch(root, "b.png", "shirts/x.JPG", "shirts/deep/y.webp")
    assert [(file.path, file.corpus, file.category) for file in files_of(root)] == [
        ("b.png", "shop", ""),
        ("shirts/deep/y.webp", "shop", "shirts"),
        ("shirts/x.JPG", "shop", "shirts"),
    ]
    assert Folder(folder=root).corpus_folder("shop") == ""


def test_a_folder_can_be_called_something_else(tmp_path: Path) -> None:
    touch(tmp_path / "photos-2026", "a.png")
    assert {file.corpus for file in files_of(tmp_path / "photos-2026", corpus="photos")} == {"photos"}
    with pytest.raises(ValidationError, match="each has its own name"):
        Folder(folder=tmp_path, corpus="photos", subdirectories="corpora")
    with pytest.raises(ValidationError, match="corpus"):
        Folder(folder=tmp_path, corpus="a/b")


def test_sub_directories_as_corpora(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.png", "a/hats/y.png", "b/z.png", "stray.png")
    files = files_of(tmp_path, subdirectories="corpora")
    assert [(file.path, file.corpus, file.category) for file in files] == [
        ("a/hats/y.png", "a", "hats"),
        ("a/x.png", "a", ""),
        ("b/z.png", "b", ""),
        ("stray.png", "", ""),
    ]
    assert Folder(folder=tmp_path, subdirectories="corpora").corpus_folder("a") == "a"


def test_hidden_names_other_files_and_linked_directories_are_ignored(tmp_path: Path) -> None:
    root = tmp_path / "root"
    touch(root, "a.png", ".b.png", "_c.png", ".git/d.png", "_old/e.png")
    (root / "notes.txt").write_text("hello")
    touch(tmp_path, "elsewhere/f.png")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    assert [file.path for file in files_of(root)] == ["a.png"]


@pytest.mark.parametrize("store", ["store", "deep/own"])
def test_the_store_among_the_pictures_is_not_read(tmp_path: Path, store: str) -> None:
    root, link = tmp_path / "root", tmp_path / "link"
    link.symlink_to(root)
    touch(root, "a.png", "deep/b.png", f"{store}/summaries/sheet.png", f"{store}/images/1/contact_sheet.png")
    (root / store / "notes.mp4").write_bytes(b"no picture")
    (root / store / "metadata.csv").write_text("file,title\na.png,a sheet\n")
    for folder in (root, link):
        for store_root in (root / store, link / store):
            reader = Folder(folder=folder)
            assert [(file.path, file.attributes) for file in reader.files(store_root)] == [
                ("a.png", {}),
                ("deep/b.png", {}),
            ]
            assert reader.ignored(store_root) == {}
            corpora = Folder(folder=folder, subdirectories="corpora")
            assert corpora.corpora(store_root) == {"deep"}
            assert {file.corpus for file in corpora.files(store_root)} == {"", "deep"}
    of_another = {file.path for file in Folder(folder=root).files(tmp_path / "store")}
    assert {f"{store}/summaries/sheet.png", f"{store}/images/1/contact_sheet.png"} < of_another


def test_what_is_written_to_the_store_among_the_pictures_changes_no_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_state, "SETTLED_NS", -(10**12))
    touch(tmp_path, "a.png", "store/summaries/sheet.png")
    reader = Folder(folder=tmp_path)
    before = reader.state(tmp_path / "store")
    touch(tmp_path, "store/summaries/other.png")
    assert before is not None and reader.state(tmp_path / "store") == before
    touch(tmp_path, "b.png")
    assert reader.state(tmp_path / "store") != before


COLUMNS = {"category_column": "label", "group_column": "who", "split_column": "part"}


def write_metadata(root: Path, kind: str) -> None:
    rows = [
        {"file": "images/a.png", "label": "hat", "who": "7", "part": "test", "colour": "rød, or not"},
        {"file": "./images/b.png", "label": "shoe", "who": "", "part": "", "colour": ""},
    ]
    if kind == "csv":
        text = 'file,label,who,part,colour\nimages/a.png,hat,7,test,"rød, or not"\n./images/b.png,shoe,,,\n'
        (root / "metadata.csv").write_text("\ufeff" + text, encoding="utf-8")
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), root / "metadata.parquet")
    else:
        (root / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_metadata_gives_category_group_split_and_attributes(tmp_path: Path, kind: str) -> None:
    touch(tmp_path, "images/a.png", "images/b.png", "images/c.png")
    write_metadata(tmp_path, kind)
    a, b, c = files_of(tmp_path, **COLUMNS)
    assert (a.category, a.group, a.split, a.attributes) == ("hat", "7", "evaluation", {"colour": "rød, or not"})
    assert (b.category, b.group, b.split, b.attributes) == ("shoe", "", "", {"colour": ""})
    assert (c.category, c.group, c.split, c.attributes) == ("", "", "", {})


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_line_of_json_ends_at_a_line_feed_only(tmp_path: Path, separator: str) -> None:
    touch(tmp_path, "a.png")
    row = json.dumps({"file": "a.png", "title": f"red{separator}hat"}, ensure_ascii=False)
    (tmp_path / "metadata.jsonl").write_bytes(f"{row}\r\n".encode())
    assert [file.attributes for file in files_of(tmp_path)] == [{"title": f"red{separator}hat"}]


def test_a_file_that_only_the_metadata_names_is_listed_for_the_scan_to_judge(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "metadata.csv").write_text("file\na.png\ngone.png\n../out.png\n")
    assert [file.path for file in files_of(tmp_path)] == ["../out.png", "a.png", "gone.png"]


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (b"name\na.png\n", {}, "no column 'file'"),
        (b"file,label\na.png,x\n", {"category_column": "labbel"}, "no column 'labbel'"),
        (b"file,part\na.png,holdout\n", {"split_column": "part"}, "'holdout'"),
        (b"file\n\xff.png\n", {}, "UTF-8"),
    ],
)
def test_metadata_that_cannot_be_used_says_why(
    tmp_path: Path, content: bytes, settings: dict[str, str], message: str
) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "metadata.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        files_of(tmp_path, **settings)


def test_two_metadata_files_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.png")
    write_metadata(tmp_path, "csv")
    write_metadata(tmp_path, "jsonl")
    with pytest.raises(InputError, match=r"metadata\.csv and metadata\.jsonl"):
        files_of(tmp_path)


def test_a_missing_folder_and_a_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        files_of(tmp_path / "nowhere")
    touch(tmp_path, "a.png")
    with pytest.raises(InputError, match="not a folder"):
        files_of(tmp_path / "a.png")


def test_where_the_folder_lies_is_not_part_of_the_settings(tmp_path: Path) -> None:
    assert plain(Folder(folder=tmp_path / "a")) == plain(Folder(folder=tmp_path / "b"))
