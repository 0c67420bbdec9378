"""What the commands about trainings print."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spn4cir_core.cli.app import app
from spn4cir_core.training.soup import Ingredient


def test_a_soup_of_one_says_so_and_how_to_start_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ingredients = [Ingredient("demo", 0.5, 0.5, True), Ingredient("slow", 0.4, 0.3, False)]
    monkeypatch.setattr("spn4cir_core.operations.soup.write_soup", lambda *_: ingredients)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["soup", "--with", "slow", "--recipe", "demo", "--out", "soup"])
    assert "nothing was averaged: the soup is demo alone" in done.output
    _, _, lines = done.output.partition("start from it with\n")
    assert tomllib.loads(lines) == {"stage1_checkpoint": {"start_from": str(tmp_path.resolve() / "soup"), "steps": 0}}


def test_a_soup_takes_another_recipe_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[list[str]] = []

    def write_soup(recipe: object, sources: list[str], *_: object) -> list[Ingredient]:
        taken.append(sources)
        return [Ingredient("demo", 0.5, 0.5, True)]

    monkeypatch.setattr("spn4cir_core.operations.soup.write_soup", write_soup)
    file = tmp_path / "slow.toml"
    file.write_text('base = "demo"\nname = "slower"\n', encoding="utf-8")
    words = ["soup", "--with", str(file), "--with", "quick", "--store", str(tmp_path / "store")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert taken == [["slower", "quick"]]
