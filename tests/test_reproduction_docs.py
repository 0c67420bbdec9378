"""The page on reproduction tells the settings that the packaged recipes have."""

from __future__ import annotations

import re
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.recipe import Recipe, load_recipe, packaged_recipes

PAGE = (Path(__file__).parents[1] / "docs" / "reproduction.md").read_text(encoding="utf-8")
TEMPLATES = {("published_fashioniq",): "T2", ("published_cirr",): "T0, T1"}
KNOWN_DIFFERENCES = {"candidate_bank.dtype", "stage1_checkpoint.backbone.vision_dtype"}


def rows() -> list[list[str]]:
    table = PAGE.split("published / here\n")[1].split("The same for all:")[0]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]


def written(name: str, recipe: Recipe) -> str:
    value: Any = attrgetter(name)(recipe) if name.rpartition(".")[2] != "vision_dtype" else tower_dtype(recipe)
    if name == "pairs.window":
        return "none" if value == (0.0, 1.0) else f"[{value[0] + 1}, {value[1] + 1})"
    if name == "templates.use":
        return TEMPLATES[value]
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}".replace("e-0", "e-")
    return str(value)


def tower_dtype(recipe: Recipe) -> str:
    return getattr(recipe.stage1_checkpoint.backbone, "vision_dtype", "–")


@pytest.mark.parametrize("column", range(1, 9))
def test_each_setting_is_the_recipes_and_differs_from_the_published_one_only_where_the_page_says_so(
    column: int,
) -> None:
    header, _, *settings = rows()
    recipe = load_recipe(header[column], {"images": {"reader": {"folder": "pictures"}}})
    assert len(settings) >= 14
    for row in settings:
        published, here = row[column].split(" / ")
        assert here == written(row[0], recipe), row[0]
        assert published == here or row[0] in KNOWN_DIFFERENCES, row[0]


def test_every_published_recipe_has_a_column_and_an_expected_figure() -> None:
    published = {
        name for name in packaged_recipes() if re.fullmatch(r"(fashioniq|cirr)(_(tgcir|blip4cir|sprc))?", name)
    }
    assert set(rows()[0][1:]) == published
    expected = PAGE.split("## What it should give")[1].split("**GPU hours")[0]
    assert set(re.findall(r"^\| `(\w+)`", expected, re.MULTILINE)) == published
