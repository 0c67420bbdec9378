"""The grid and the tables of ``benchmarks/paper_effects.py``; nothing is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.paper_effects import CLAIMS, Hits, grid_on, models_of, tables
from spn4cir_core.ablation.grid import cells

REFERENCES = ["a", "b", "c", "d"] * 10


def hits(*rights: int) -> Hits:
    """Hits by seed of a network that has the first so many of forty targets at rank 1, and all at ten."""
    by_seed = {}
    for seed, right in enumerate(rights):
        first_Q = (np.arange(40) < right).astype(float)
        by_seed[seed] = np.stack([first_Q, np.ones(40), np.ones(40)], axis=1)
    return Hits(by_seed, REFERENCES)


def test_every_claim_compares_networks_that_the_grid_trains(tmp_path: Path) -> None:
    grid = grid_on(tmp_path, "keep_in", share=0.5)
    trained = {(level, model) for level in grid.axes["training"] for model in models_of(level)}
    assert {side for _, *sides in CLAIMS for side in sides} <= trained
    recipes = {cell.levels["training"]: cell.recipe for cell in cells(grid.model_copy(update={"seeds": (0,)}))}
    assert recipes["true"].stage1_checkpoint.steps == 150 and recipes["true"].false_negatives.guards == ()
    for level, recipe in recipes.items():
        steps = 0 if "replaced" in level else 200 if level.startswith("long") else 100
        assert recipe.stage2_checkpoint.steps == steps, level
        assert recipe.triplets.candidates == "split" and recipe.stage1_checkpoint.start_from == "", level
        assert (recipe.triplets.origins == ("annotated",)) == ("+" not in level), level
        if "+ published" in level:
            assert recipe.templates.use == ("published",) and recipe.pairs.window == (0.4, 0.8)


def test_differences_are_paired_and_hold_beyond_both_intervals() -> None:
    both = {("true", "control"): hits(10, 12, 11), ("+ ours", "control"): hits(20, 23, 22)}
    lines = tables(both).splitlines()
    assert lines[2] == "| true | control | 27.5 ± 2.5 | 100.0 ± 0.0 | 100.0 ± 0.0 | 3 |"
    (claim,) = [line for line in lines if line.startswith("| positives help, in batch: ours")]
    differences = [25.0, 27.5, 27.5]  # points, seed by seed
    half = 4.302653 * np.std(differences, ddof=1) / 3**0.5  # Student's t of two degrees of freedom
    mean = np.mean(differences)
    assert f"| +{mean:.1f} (+{mean - half:.1f} to +{mean + half:.1f}; +" in claim
    assert claim.endswith("| +0.0 (+0.0 to +0.0; +0.0 to +0.0) | yes; at 10 not beyond chance |")


@pytest.mark.parametrize(
    ("rights", "verdict"), [((2, 1, 2), "no: it hurts"), ((40, 2, 10), "not beyond chance"), ((11, 13, 12), "yes")]
)
def test_a_claim_that_one_seed_bears_does_not_hold(rights: tuple[int, ...], verdict: str) -> None:
    lines = tables({("true", "control"): hits(10, 12, 11), ("true", "stage2"): hits(*rights)}).splitlines()
    (claim,) = [line for line in lines if line.startswith("| the bank helps: true")]
    assert f"| {verdict}" in claim
