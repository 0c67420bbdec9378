from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.ablation.grid import Grid, cells, load_grid, needed_stages
from spn4cir_core.errors import RecipeError

AXES: dict[str, Any] = {
    "positives": {"near": {"pairs": {"window": [0, 20]}}, "far | mid": {"pairs": {"window": [5, 100]}}},
    "negatives": {"bank": {}, "mixed": {"stage2_checkpoint": {"objective": {"kind": "bank", "in_batch_weight": 0.5}}}},
}


def test_every_combination_with_every_seed_is_a_cell_of_its_own() -> None:
    result = cells(Grid(axes=AXES, seeds=(3, 5), recipe={"stage1_checkpoint": {"steps": 7}}))
    assert [(*cell.levels.values(), cell.seed) for cell in result] == [
        (positives, negatives, seed)
        for positives in ("near", "far | mid")
        for negatives in ("bank", "mixed")
        for seed in (3, 5)
    ]
    assert len({cell.recipe.name for cell in result}) == len(result)
    for cell in result:
        assert re.fullmatch(r"[a-z0-9_]{1,40}", cell.recipe.name)
        assert cell.recipe.stage1_checkpoint.steps == 7 and cell.recipe.seed == cell.seed
        assert tuple(cell.recipe.pairs.window) == ((0, 20) if cell.levels["positives"] == "near" else (5, 100))
        weight = cell.recipe.stage2_checkpoint.objective.model_dump()["in_batch_weight"]
        assert weight == (0.5 if cell.levels["negatives"] == "mixed" else 0.0)


def test_a_cell_keeps_its_name_when_the_grid_grows() -> None:
    before = cells(Grid(axes={"positives": AXES["positives"]}, seeds=(1,)))
    after = cells(Grid(axes=AXES, seeds=(0, 1)))
    assert {cell.recipe.name for cell in before} < {cell.recipe.name for cell in after}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("axes = 3", "axes"),
        ("seeds = [0]", "axes"),
        ("axes.a.b = {}\nseed = [1]", "did you mean 'seeds'"),
        ("axes.a.b = {}\nseeds = []", "seeds"),
        ("axes.a.b = ", "not valid TOML"),
        ("axes.a.b.pears.window = [0, 3]", "cell a = 'b', seed 0: .*pears"),
        ("axes.a.b = {}\nk = 7", "eval_report.ks"),
        ("axes.a.b = {}\nbase = './none.toml'", "no recipe"),
    ],
)
def test_what_is_wrong_with_a_grid_is_said_before_anything_runs(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=says):
        cells(load_grid(path))


def test_paths_are_relative_to_the_grid(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('base = "demo"\npairs.per_reference = 3', encoding="utf-8")
    (tmp_path / "grid.toml").write_text('base = "./own.toml"\naxes.a.b = {}', encoding="utf-8")
    assert cells(load_grid(tmp_path / "grid.toml"))[0].recipe.pairs.per_reference == 3


def test_a_missing_grid_is_a_known_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot read grid"):
        load_grid(tmp_path / "none.toml")


def test_only_what_a_report_is_made_from_runs() -> None:
    names = needed_stages()
    assert names[-1] == "eval_report" and "search_index" not in names
    assert {"images", "candidate_bank", "control_checkpoint", "stage2_checkpoint"} < set(names)
