from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.text_variants import GRID, grid_on, measures_of, table
from spn4cir_core.objectives.mixture import Mixture
from spn4cir_core.recipe import load_recipe, merge


def test_every_level_is_a_recipe(tmp_path: Path) -> None:
    grid = grid_on(tmp_path, "keep_in", [3])
    assert grid.seeds == (3,)
    recipes = {name: load_recipe(grid.base, merge(grid.recipe, level)) for name, level in grid.axes["training"].items()}
    assert recipes["one wording"].templates.use == ("make_edits",)
    assert {recipe.stage2_checkpoint.steps for recipe in recipes.values()} == {0}
    swapped = recipes["five a pair, swapped texts"].stage1_checkpoint.objective
    assert isinstance(swapped, Mixture) and "swapped_queries" in swapped.needs


def test_the_last_level_of_folder_is_the_recipe_as_shipped(tmp_path: Path) -> None:
    grid = grid_on(tmp_path, "keep_in", [0], GRID.with_name("folder_wordings.toml"))
    *before, last = (load_recipe(grid.base, merge(grid.recipe, level)) for level in grid.axes["training"].values())
    shipped = load_recipe("folder", {"images": {"reader": {"folder": str(tmp_path)}}})
    for stage in ("templates", "modified_texts", "stage1_checkpoint"):
        assert getattr(last, stage) == getattr(shipped, stage)
    assert shipped.modified_texts.per_pair > 1 == before[0].modified_texts.per_pair == before[1].modified_texts.per_pair
    assert before[0].templates.use == ("make_edits",) != shipped.templates.use == before[1].templates.use


def test_the_table_holds_means_over_seeds() -> None:
    recall = [
        {"model": "stage1", "query": "composed", "kind": kind, "k": k, "recall": value}
        for kind, k, value in (("all", 1, 0.5), ("all", 10, 0.75), ("colour", 1, 0.0))
    ]
    worded = {"model": "stage1", "k": 1, "mean": 0.4, "spread": 0.2, "first_hit_changes": 0.3}
    sets = [
        {"name": "annotated", "recall": recall},
        {"name": "annotated, other words", "recall": [], "wordings": [{**worded, "k": 5, "mean": 0.0}, worded]},
    ]
    first = measures_of({"query_sets": sets})
    assert first == pytest.approx((50, 75, 40, 20, 30))
    text = table({"one wording": [first, tuple(value + 2 for value in first)]})
    assert "| one wording | 51.0 ± 1.4 | 76.0 ± 1.4 | 41.0 ± 1.4 | 21.0 ± 1.4 | 31.0 ± 1.4 | 2 |" in text
