from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.judged_labels import CLAIMS, judged_grid, judges_agree
from benchmarks.paper_effects import models_of
from spn4cir_core.objectives.judged_labels import JudgedLabels
from spn4cir_core.recipe import load_recipe, merge


def test_every_level_is_a_recipe_and_every_claim_is_of_levels(tmp_path: Path) -> None:
    grid = judged_grid(tmp_path, "keep_in", tmp_path / "encoder", 7)
    levels = grid.axes["training"]
    recipes = {name: load_recipe(grid.base, merge(grid.recipe, level)) for name, level in levels.items()}
    judged = recipes["true, judged labels"].stage2_checkpoint.objective
    assert isinstance(judged, JudgedLabels) and judged.reranker.top == 7
    assert recipes["true, slow both"].stage2_checkpoint.learning_rate == 1e-4
    assert len({recipe.stage1_checkpoint.model_dump_json() for recipe in recipes.values()}) == 1
    trained = {(level, model) for level in levels for model in models_of(level)}
    assert {one for _, *pair in CLAIMS for one in pair} <= trained


def test_how_often_the_judge_agrees(tmp_path: Path) -> None:
    folder = tmp_path / "rows" / "rerankings" / "judge"
    folder.mkdir(parents=True)
    rows = [{"scores": [3.0, 1.0, 2.0]}, {"scores": [1.0, 2.0, 0.0]}, {"scores": [1.0, np.nan, 0.0]}, None]
    pq.write_table(pa.table({"key": list("abcd"), "value": rows}), folder / "1.parquet")
    (sentence,) = judges_agree(tmp_path)
    assert "of 2 triplets first for 50.0 %, and before 75.0 % of the candidates" in sentence
