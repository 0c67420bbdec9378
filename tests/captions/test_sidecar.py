from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spn4cir_core.captions.base import ToCaption
from spn4cir_core.captions.sidecar import Sidecar
from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ImageFiles

ROWS = [{"file": "in/a.jpg", "caption": "A red hat."}, {"file": "b.jpg", "caption": "größer,\nblau"}]


def image(path: str, **attributes: str) -> ToCaption:
    return ToCaption(path, path, "", "", attributes)


def captions(captioner: Sidecar, root: Path, *images: ToCaption) -> list[str]:
    return captioner.start(ImageFiles(root))(images, [])


def write(path: Path) -> None:
    if path.suffix == ".csv":
        path.write_text('file,caption\nin/a.jpg,A red hat.\nb.jpg,"größer,\nblau"\n', encoding="utf-8-sig")
    elif path.suffix == ".json":
        path.write_text(json.dumps(ROWS), encoding="utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n", encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)


@pytest.mark.parametrize("name", ["captions.csv", "captions.json", "captions.jsonl", "captions.parquet"])
@pytest.mark.parametrize("corpus", ["", "corpus"])
def test_tables_of_every_format_at_the_root_or_in_a_corpus(tmp_path: Path, name: str, corpus: str) -> None:
    (tmp_path / corpus).mkdir(exist_ok=True)
    write(tmp_path / corpus / name)
    prefix = f"{corpus}/" if corpus else ""
    images = [image(f"{prefix}b.jpg"), image(f"{prefix}in/a.jpg"), image(f"{prefix}c.jpg")]
    assert captions(Sidecar(table=name), tmp_path, *images) == ["größer, blau", "A red hat", ""]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_line_of_json_ends_at_a_line_feed_only(tmp_path: Path, separator: str) -> None:
    rows = [{"file": "a.jpg", "caption": f"a red{separator}hat"}, {"file": "b.jpg", "caption": "blue"}]
    text = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "captions.jsonl").write_bytes(text.encode())
    assert captions(Sidecar(table="captions.jsonl"), tmp_path, image("a.jpg"), image("b.jpg")) == ["a red hat", "blue"]


def test_json_object_from_file_to_captions(tmp_path: Path) -> None:
    (tmp_path / "alt.json").write_text(json.dumps({"a.jpg": ["first one.", "second"], "b.jpg": None}))
    assert captions(Sidecar(table="alt.json"), tmp_path, image("a.jpg"), image("b.jpg")) == ["first one", ""]


def test_text_files_beside_the_pictures(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a blue  bag.\n")
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\xff")
    got = captions(Sidecar(source="text"), tmp_path, image("in/a.jpg"), image("none.jpg"), image("bad.jpg"))
    assert got == ["a blue bag", "", ""]


def test_a_text_file_outside_the_root_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.txt").symlink_to(tmp_path / "secret.txt")
    assert captions(Sidecar(source="text"), root, image("a.jpg"), image("../secret.jpg")) == ["", ""]


def test_template_from_attributes(tmp_path: Path) -> None:
    captioner = Sidecar(source="attributes", template="a {colour} {label}")
    images = [image("a", colour="red", label="hat"), image("b", colour="", label="hat"), image("c", label="hat")]
    assert captions(captioner, tmp_path, *images) == ["a red hat", "", ""]
    assert captions(Sidecar(source="attributes"), tmp_path, image("a", caption='["one", "two"]')) == ["one"]
    assert captioner.row_key(images[0]) != captioner.row_key(image("a", colour="blue", label="hat"))


@pytest.mark.parametrize("template", ["{", "no attribute at all"])
def test_bad_template(tmp_path: Path, template: str) -> None:
    with pytest.raises(InputError, match="template"):
        captions(Sidecar(source="attributes", template=template), tmp_path, image("a"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("captions.csv", b"file,title\na.jpg,hat\n", "no column 'caption'"),
        ("captions.csv", b"file,caption\na.jpg,\xff\xfe\n", "cannot be read"),
        ("captions.json", b"{not json", "cannot be read"),
        ("captions.json", b"[1, 2]", "list of objects"),
        ("captions.parquet", b"PAR1 no", "cannot be read"),
        ("captions.xlsx", b"", "suffix must be one of"),
    ],
)
def test_bad_tables_are_one_clear_error(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        captions(Sidecar(table=name), tmp_path, image("a.jpg"))


def test_missing_table_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no captions\.csv in"):
        Sidecar().fingerprint(ImageFiles(tmp_path))


def test_fingerprint_follows_the_side_files(tmp_path: Path) -> None:
    write(tmp_path / "captions.csv")
    files = ImageFiles(tmp_path)
    before = Sidecar().fingerprint(files)
    (tmp_path / "captions.csv").write_text("file,caption\nb.jpg,other\n")
    assert Sidecar().fingerprint(files) != before
    (tmp_path / "a.txt").write_text("1")
    texts = Sidecar(source="text").fingerprint(files)
    (tmp_path / "a.txt").write_text("2")
    assert Sidecar(source="text").fingerprint(files) != texts


@pytest.mark.parametrize("column", ["product.title", "name[en]", "Option1: name", "a!r", "title ", "0", "größe.x[0]"])
def test_any_column_can_stand_in_a_template(tmp_path: Path, column: str) -> None:
    captioner = Sidecar(source="attributes", template=f"a {{{column}}}, {{{{new}}}}")
    assert captions(captioner, tmp_path, image("a", **{column: "hat"}), image("b")) == ["a hat, {new}", ""]
    assert captioner.metadata_columns() == (column,)


def test_names_of_another_spelling_are_matched_and_decide_the_fingerprint(tmp_path: Path) -> None:
    for name in ("in/a.JPG", "b.jpeg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "captions.csv").write_text("file;caption\nin\\a.jpg;a red hat\nhttps://x.example/b.jpg?v=1;blue\n")
    assert captions(Sidecar(), tmp_path, image("in/a.JPG"), image("b.jpeg")) == ["a red hat", "blue"]
    before = Sidecar().fingerprint(ImageFiles(tmp_path))
    (tmp_path / "b.jpeg").rename(tmp_path / "b.JPG")
    assert captions(Sidecar(), tmp_path, image("b.JPG")) == ["blue"]
    assert Sidecar().fingerprint(ImageFiles(tmp_path)) != before


def test_cocos_captions(tmp_path: Path) -> None:
    value = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [{"image_id": 1, "caption": "a red hat"}, {"image_id": 1, "caption": "headgear"}],
    }
    (tmp_path / "captions.json").write_text(json.dumps(value))
    assert captions(Sidecar(table="captions.json"), tmp_path, image("a.jpg"), image("b.jpg")) == ["a red hat", ""]
