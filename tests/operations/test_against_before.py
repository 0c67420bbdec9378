"""Two reports of one recipe, over one small store: measured alike, or over other galleries."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from spn4cir_core.operations.against_before import (
    _changed_lines,
    composed_recalls,
    diagnosis,
    measure_again,
    older_models,
    ruler_differences,
)
from spn4cir_core.operations.checks import RecipeArtifacts, recall_is_not_worse
from spn4cir_core.recipe import Recipe
from spn4cir_core.reports.stage import EVAL_REPORT
from spn4cir_core.store.artifacts import Artifact, Store
from tests.measured_store import NAME, image_rows, measured_store, write, write_checkpoint
from tests.measured_store import recipe as measured_recipe

ADDED = ("toys/16.png", "toys/17.png")


@pytest.fixture
def measured(tmp_path: Path) -> tuple[Recipe, Store, Artifact]:
    """A recipe with its first report."""
    store, recipe = measured_store(tmp_path), measured_recipe(tmp_path / "pictures")
    return recipe, store, EVAL_REPORT.run(recipe, store)[0]


def larger_gallery(store: Store) -> None:
    rows = [row | ({"split": "evaluation"} if row["image_id"] in ADDED else {}) for row in image_rows()]
    splits = pa.table({name: [row[name] for row in rows] for name in ("image_id", "split")})
    twins = pa.table({"image_a": ["toys/19.png"], "image_b": ["toys/35.png"], "found_by": ["embedding"]})
    write(store, "splits", {"splits.parquet": splits, "near_duplicates.parquet": twins}, ["images"], key="larger")


def test_reports_over_the_same_queries_and_gallery_are_measured_alike(
    measured: tuple[Recipe, Store, Artifact],
) -> None:
    recipe, store, before = measured
    write_checkpoint(store, "stage2_checkpoint", seed=7)
    now, _ = EVAL_REPORT.run(recipe, store)
    (key, then), *_ = composed_recalls(before).items()
    value = composed_recalls(now)[key]
    figures = f"{100 * then:.1f} % before, {100 * value:.1f} % now ({100 * (value - then):+.1f} points)"
    assert f"recall@{key[2]}: {figures}" in "\n".join(diagnosis(recipe, store, now, before))
    assert ruler_differences(now, before) and not any(ruler_differences(now, before).values())
    assert "recalls measured alike in" in recall_is_not_worse(RecipeArtifacts(NAME, store, recipe)).says


def test_over_another_gallery_the_older_checkpoint_is_measured_again(measured: tuple[Recipe, Store, Artifact]) -> None:
    """What it then recalls is what a report of it over today's gallery says."""
    recipe, store, before = measured
    older = store.current(NAME, "stage2_checkpoint")
    assert older is not None
    larger_gallery(store)
    write_checkpoint(store, "stage2_checkpoint", seed=7)
    now, _ = EVAL_REPORT.run(recipe, store)
    reasons = ruler_differences(now, before)
    assert reasons and all(any("another gallery" in reason for reason in each) for each in reasons.values())
    again = measure_again(recipe, store, now, older_models(before, store))
    assert {model for _, model, _ in again} == {"blend", "stage2"}
    says = recall_is_not_worse(RecipeArtifacts(NAME, store, recipe)).says
    assert f"of checkpoint {older.fingerprint} on today's queries and galleries" in says
    lines = diagnosis(recipe, store, now, before)
    assert any("older checkpoint on today's ruler" in line for line in lines)
    assert not any(" before, " in line and "recall@" in line for line in lines), "unlike recalls are not subtracted"
    store.point(NAME, older)
    of_older, _ = EVAL_REPORT.run(recipe, store)
    assert again == pytest.approx(composed_recalls(of_older))


def test_what_cannot_be_compared_is_said(measured: tuple[Recipe, Store, Artifact]) -> None:
    recipe, store, before = measured
    larger_gallery(store)
    now, _ = EVAL_REPORT.run(recipe, store)
    finding = recall_is_not_worse(RecipeArtifacts(NAME, store, recipe))
    assert finding.passed and "nothing can be compared" in finding.says and "the checkpoint is the same" in finding.says
    assert any("only the ruler has changed" in line for line in diagnosis(recipe, store, now, before))
    write_checkpoint(store, "stage2_checkpoint", seed=7)
    EVAL_REPORT.run(recipe, store)
    assert "cannot be measured again" not in recall_is_not_worse(RecipeArtifacts(NAME, store, recipe)).says


def test_losses_are_shown_with_a_few_digits() -> None:
    alike = {"rows": 1, "drops": {}, "version": 1, "settings": {}, "outside": {}}
    was, now = (
        {"stage2": Artifact("stage2", Path(), {**alike, "fingerprint": str(loss), "details": {"last_loss": loss}})}
        for loss in (1.2345678901234567, 0.3333333333333333)
    )
    assert list(_changed_lines(now, was, ["stage2"])) == ["  stage2: last_loss 1.235 → 0.3333"]
