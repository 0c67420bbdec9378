from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from PIL import Image

from spn4cir_core.captions.auto import Auto
from spn4cir_core.captions.base import Captioner, ToCaption
from spn4cir_core.captions.tags import Tags
from spn4cir_core.errors import InputError, MissingExtra
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.recipe import load_recipe
from spn4cir_core.store.artifacts import Store
from tests.captions.conftest import Pictures
from tests.captions.test_stage import folder_of, recipe, run


class SizeCaptioner(Captioner):
    """A stand-in for a model: says how large the picture is."""

    plugin_kind: ClassVar[str] = "tests.captions.test_auto:SizeCaptioner"

    def fingerprint(self, files: ImageFiles) -> str:
        return "size"

    def prompt(self, image: ToCaption) -> str:
        return ""

    def start(self, files: ImageFiles) -> Callable[[Sequence[ToCaption], Sequence[Image.Image]], list[str]]:
        return lambda images, pictures: [f"{picture.width} px wide" for picture in pictures]


SIZE = "tests.captions.test_auto:SizeCaptioner"


def image(path: str, **attributes: str) -> ToCaption:
    return ToCaption(path, path, f"pixels of {path}", "", attributes)


def columns_of(images: list[ToCaption], root: Path) -> tuple[str, ...]:
    captioner = Auto(fallback=SizeCaptioner()).for_corpus(images, ImageFiles(root))
    assert isinstance(captioner, Auto)
    return captioner.columns


def metadata(root: Path, *rows: dict[str, str]) -> None:
    with (root / "metadata.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["file", *dict.fromkeys(key for row in rows for key in row if key != "file")])
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("name", ["title", "Title", "NAME", "Caption", "description", "alt", "ALT_TEXT", "Alt Text"])
def test_a_column_counts_by_its_name_in_any_case(tmp_path: Path, name: str) -> None:
    images = [image("a.jpg", **{name: "red mug"}), image("b.jpg", **{name: "blue mug"})]
    assert columns_of(images, tmp_path) == (name,)


def test_of_several_columns_the_one_nearest_to_a_caption_wins_and_it_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = [image(f"{n}.jpg", description=f"text {n}", title=f"mug {n} red", alt=f"alt {n} x") for n in range(4)]
    with caplog.at_level(logging.INFO):
        assert columns_of(images, tmp_path) == ("title", "alt", "description")
    assert "'title' has titles of 4 of 4 pictures" in caplog.text
    assert "'title' goes before 'alt' (4), 'description' (4)" in caplog.text


def test_a_column_with_few_values_only_fills_gaps(tmp_path: Path) -> None:
    images = [image(f"{n}.jpg", description=f"text {n}", title="mug" if n == 0 else "") for n in range(4)]
    assert columns_of(images, tmp_path) == ("description", "title")


@pytest.mark.parametrize("value", ["photo", "", "nan", "{file}"])
def test_one_title_for_all_empty_ones_and_file_names_are_no_titles(tmp_path: Path, value: str) -> None:
    images = [image(f"{n}.jpg", title=value.format(file=f"{n}.jpg")) for n in range(4)]
    assert columns_of(images, tmp_path) == ()


def test_titles_are_cleaned_and_the_fallback_fills_the_gaps(tmp_path: Path, pictures: Pictures) -> None:
    reader = folder_of(pictures, tmp_path / "pictures", range(4))
    metadata(
        tmp_path / "pictures",
        {"file": "0.png", "Title": "<b>Mug</b> 0.5 l, SKU: AB-1234", "label": "mug"},
        {"file": "1.png", "Title": "Great Gatsby, vol. 2", "label": "book"},
        {"file": "2.png", "Title": "", "label": "hat"},
    )
    captioner = {"kind": "auto", "fallback": {"kind": SIZE}}
    artifact, _ = run(recipe(reader, captioner, clean_answers=True), pictures.store(tmp_path / "store"))
    assert artifact.table()["caption"].to_pylist() == [
        "Mug 0.5l",
        "Great Gatsby, vol. 2",
        "48 px wide",
        "48 px wide",
    ]
    assert artifact.table()["captioner"].to_pylist() == ["Title", "Title", SIZE, SIZE]
    assert artifact.details["sources"] == {"Title": 2, SIZE: 2}
    assert "'label', which is not used by the captioner 'auto'" in artifact.details["notes"][0]


def test_titles_and_labels_are_one_caption_and_the_label_is_not_called_unused(
    tmp_path: Path, pictures: Pictures
) -> None:
    reader = folder_of(pictures, tmp_path / "pictures", range(4))
    rows = [("Granny Smith", "Apple"), ("Royal-Gala", "Apple"), ("Conference", "Pear"), ("Anjou Pear", "Pear")]
    names = ("file", "title", "label")
    metadata(
        tmp_path / "pictures",
        *(dict(zip(names, (f"{number}.png", *row), strict=True)) for number, row in enumerate(rows)),
    )
    artifact, _ = run(recipe(reader, {"kind": "auto", "fallback": {"kind": SIZE}}), pictures.store(tmp_path / "store"))
    captions = ["Granny Smith apple", "Royal Gala apple", "Conference pear", "Anjou Pear"]
    assert artifact.table()["caption"].to_pylist() == captions
    assert not any("not used" in note for note in artifact.details["notes"])
    bare = {"kind": "auto", "label_columns": [], "fallback": {"kind": SIZE}}
    artifact, _ = run(recipe(reader, bare), Store(tmp_path / "store"))
    assert artifact.table()["caption"].to_pylist() == ["Granny Smith", "Royal Gala", "Conference", "Anjou Pear"]


def test_a_picture_with_a_title_is_not_opened(
    tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, store = folder_of(pictures, tmp_path / "pictures", range(3)), pictures.store(tmp_path / "store")
    metadata(tmp_path / "pictures", {"file": "0.png", "title": "red mug"}, {"file": "1.png", "title": "blue mug"})
    run(recipe(reader, {"kind": "sidecar", "source": "attributes", "template": "{title}"}), store)
    opened: list[str] = []
    unwatched = ImageFiles.open
    monkeypatch.setattr(ImageFiles, "open", lambda files, path: opened.append(path) or unwatched(files, path))
    run(recipe(reader, {"kind": "auto", "fallback": {"kind": SIZE}}), store)
    assert opened == ["2.png"]


def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> str:
        raise MissingExtra("timm", "offline")

    monkeypatch.setattr(Tags, "fingerprint", missing)
    monkeypatch.setattr(Tags, "start", missing)


def test_without_titles_and_without_the_extra_there_is_one_error(
    tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_extra(monkeypatch)
    reader = folder_of(pictures, tmp_path / "pictures", range(2))
    with pytest.raises(InputError, match=r"none of the 2 pictures has a title .*spn4cir\[offline\]"):
        run(recipe(reader, {"kind": "auto"}), pictures.store(tmp_path / "store"))


def test_with_some_titles_and_without_the_extra_the_others_are_counted_drops_until_it_is_installed(
    tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, store = folder_of(pictures, tmp_path / "pictures", range(3)), pictures.store(tmp_path / "store")
    metadata(tmp_path / "pictures", {"file": "0.png", "title": "red mug"}, {"file": "1.png", "title": "blue mug"})
    with monkeypatch.context() as without:
        without_extra(without)
        artifact, _ = run(recipe(reader, {"kind": "auto"}), store)
    assert artifact.summary["drops"] == {"the captioner had nothing to say": 1}
    monkeypatch.setattr(Tags, "fingerprint", lambda *_: "installed")
    monkeypatch.setattr(Tags, "start", lambda *_: lambda images, pictures: ["a red hat"] * len(images))
    artifact, reused = run(recipe(reader, {"kind": "auto"}), store)
    assert not reused and artifact.details["sources"] == {"title": 2, "tags": 1}


def test_a_changed_title_makes_another_artefact(tmp_path: Path, pictures: Pictures) -> None:
    reader, store = folder_of(pictures, tmp_path / "pictures", range(2)), pictures.store(tmp_path / "store")
    for title in ("red mug", "green mug"):
        metadata(tmp_path / "pictures", {"file": "0.png", "title": title}, {"file": "1.png", "title": "blue mug"})
        artifact, reused = run(recipe(reader, {"kind": "auto", "fallback": {"kind": SIZE}}), store)
        assert not reused and artifact.table()["caption"].to_pylist() == [title, "blue mug"]


def test_the_recipe_folder_has_it() -> None:
    assert isinstance(load_recipe("folder", {"images": {"reader": {"folder": "."}}}).captions.captioner, Auto)


def shared_part(source: Path, names: list[str], root: Path) -> dict[str, str]:
    root.mkdir()
    for name in names:
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_bytes((source / name).read_bytes())
    with (source / "metadata.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["file"] in names]
    metadata(root, *rows)
    return {row["file"]: row.get("title", "") for row in rows}


@pytest.mark.data
def test_icons_are_captioned_by_their_titles(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "icons" / "pictures"
    if not source.is_dir():
        pytest.skip("no icons here")
    titles = shared_part(source, sorted(path.name for path in source.glob("*.png"))[:40], tmp_path / "icons")
    artifact, _ = run(recipe({"kind": "folder", "folder": str(tmp_path / "icons")}, {"kind": "auto"}), Store(tmp_path))
    table = artifact.table()
    captions = dict(zip(table["image_id"].to_pylist(), table["caption"].to_pylist(), strict=True))
    assert captions and captions == {name: titles[name] for name in captions}
    assert artifact.details["sources"] == {"title": len(captions)}


@pytest.mark.data
def test_clothing_which_has_labels_only_is_captioned_by_tags(tmp_path: Path, shared_data: Path) -> None:
    pytest.importorskip("timm")
    source = shared_data / "clothing"
    names = sorted(path.relative_to(source).as_posix() for path in source.glob("images/*.jpg"))[:6]
    shared_part(source, names, tmp_path / "clothing")
    reader = {"kind": "folder", "folder": str(tmp_path / "clothing")}
    artifact, _ = run(recipe(reader, {"kind": "auto"}), Store(tmp_path / "store"))
    assert set(artifact.details["sources"]) == {"tags"}
    assert any("'label', which is not used" in note for note in artifact.details["notes"])


def test_a_copy_with_other_metadata_has_its_own_title() -> None:
    captioner, titled = Auto(fallback=SizeCaptioner()), image("a.jpg", title="a green hat")
    assert captioner.origin(titled) == "title"
    untitled = replace(titled, attributes={})
    assert captioner.origin(untitled) == SizeCaptioner.plugin_kind and captioner.origin(titled) == "title"
