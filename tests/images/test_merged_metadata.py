"""Exact duplicates become one picture, and what was said of any of them is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from spn4cir_core.api import run
from spn4cir_core.images.base import FoundFile
from spn4cir_core.images.manifest import read_manifest
from spn4cir_core.images.stage import has_gaps, merged
from spn4cir_core.recipe import load_recipe


@pytest.mark.parametrize(
    ("attributes", "together"),
    [
        ([{"label": ""}, {"label": "shoe"}], {"label": "shoe"}),
        ([{"label": "boot"}, {"label": "shoe"}], {"label": "boot"}),
        ([{}, {"label": "", "title": "t"}, {"label": "shoe"}], {"label": "shoe", "title": "t"}),
        ([{"label": ""}, {"label": ""}], {"label": ""}),
    ],
)
def test_the_first_value_of_each_column_counts(attributes: list[dict[str, str]], together: dict[str, str]) -> None:
    files = [FoundFile(f"{number}.png", "c", attributes=row) for number, row in enumerate(attributes)]
    assert merged(files).attributes == together and merged(files).path == "0.png"


def test_only_metadata_with_gaps_can_change_what_was_made_before() -> None:
    full = [FoundFile("a", "c", attributes={"label": "x"}), FoundFile("b", "c", attributes={"label": "y"})]
    assert not has_gaps(full) and not has_gaps([FoundFile("a", "c"), FoundFile("b", "c")])
    assert has_gaps([*full, FoundFile("d", "c", attributes={"label": ""})])


def test_the_label_of_a_duplicate_is_not_lost(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, shade in (("a.png", 10), ("b.png", 10), ("c.png", 90)):
        Image.new("RGB", (20, 20), (shade, 0, 0)).save(folder / name)
    (folder / "metadata.csv").write_text("file,label\nb.png,shoe\nc.png,hat\n")
    recipe = load_recipe("folder", {"images": {"reader": {"kind": "folder", "folder": str(folder)}}})
    images = run(recipe, tmp_path / "store", ["images"])["images"]
    labels = {row["image_id"]: dict(row["attributes"])["label"] for row in read_manifest(images).to_pylist()}
    assert labels == {"a.png": "shoe", "c.png": "hat"}
