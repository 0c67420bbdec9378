"""The commands about triplets, on a store written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from spn4cir_core.cli import app
from spn4cir_core.errors import InputError, StoreError


def spn4cir(*words: str | Path) -> str:
    """Run a command; a known error is raised, as ``main`` sees it."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception:
        raise done.exception
    return done.stdout


def test_import_then_export(hand_written: Any, tmp_path: Path) -> None:
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
