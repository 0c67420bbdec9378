"""The commands about triplets, on a store written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from spn4cir_core.cli.app import app
from spn4cir_core.errors import InputError, StoreError
from tests.triplets.conftest import compose, rows  # noqa: F401


def spn4cir(*words: str | Path) -> str:
    """Run a command; a known error is raised, as ``main`` sees it."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception:
        raise done.exception
    return done.stdout


def test_import_counts_what_it_leaves_out(tmp_path: Path) -> None:
    file = tmp_path / "cap.dress.train.json"
    file.write_text(
        json.dumps(
            [{"candidate": "a", "target": "b", "captions": ["red", "long"]}, {"candidate": "c", "captions": ["x"]}]
        )
    )
    said = spn4cir("import", "--format", "fashioniq", "--from", file, "--out", tmp_path / "triplets.csv")
    assert "1 rows, 1 left out (no target)" in said
    with pytest.raises(InputError, match="is not FIELD=NAME"):
        spn4cir("import", "--format", "csv", "--from", file, "--out", tmp_path / "triplets.csv", "--column", "x")


def test_export_names_its_files_and_the_missing_stage(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="has no triplets"):
        spn4cir("export", "--format", "cirr", "--out", tmp_path, "--store", tmp_path / "none")


def test_a_page_of_the_triplets_and_their_export(hand_written: Any, compose: Any, rows: Any, tmp_path: Path) -> None:  # noqa: F811
    compose([rows.annotation("q", "a", "b")], [rows.pair("a", "c")])
    recipe = tmp_path / "test.toml"
    recipe.write_text(f'base = "folder"\nname = "test"\n[images.reader]\nkind = "folder"\nfolder = "{tmp_path}"\n')
    words = ["--recipe", recipe, "--store", hand_written.store.root]
    assert "browse.html" in spn4cir("triplets", "--out", tmp_path / "new" / "browse.html", "--count", "1", *words)
    assert (tmp_path / "new" / "browse.html").read_text().count("<article") == 1
    said = spn4cir("triplets", "--out", tmp_path / "b.html", "--sheet", tmp_path / "new" / "sheet.jpg", *words)
    assert "sheet.jpg" in said
    with Image.open(tmp_path / "new" / "sheet.jpg") as sheet:
        assert sheet.width == 2 * (240 + 6) + 6 and 120 < sheet.height < 180  # two triplets, pictures gone
    for layout, name in (("fashioniq", "cap.extend_clip.train.json"), ("csv", "triplets.train.csv")):
        assert name in spn4cir("export", "--format", layout, "--out", tmp_path / "out", *words)
        assert (tmp_path / "out" / name).is_file()
