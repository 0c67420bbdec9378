from __future__ import annotations

from pathlib import Path

import dagster as dg

from dagster_project.definitions import definitions_for
from dagster_project.resources import Pipeline
from dagster_project.run_outcome import RunOutcome
from tests.dagster_project.executed_jobs import coloured_corpus
from tests.pipelines import tiny_recipe_file


def outcome_of(pipeline: Pipeline, *names: str) -> list[str]:
    """The last lines of a run of these assets, without the report's path."""
    defs, keys = definitions_for(pipeline), [dg.AssetKey(name) for name in names]
    outcome = RunOutcome(keys)
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(asset_selection=keys, raise_on_error=False)
    for event in result.all_events:
        outcome.add(event)
    title, *lines = outcome.end(pipeline).splitlines()
    assert title == "done"
    return lines


def test_each_stage_stands_under_what_became_of_it(tmp_path: Path) -> None:
    pipeline = Pipeline(recipe=str(coloured_corpus(tmp_path / "corpus")), store=str(tmp_path / "store"))
    others = "16 not selected (why: spn4cir status)"
    assert outcome_of(pipeline, "images") == ["computed:     images", f"would run:    {others}"]
    assert outcome_of(pipeline, "images") == ["up to date:   images", f"would run:    {others}"]
    failed = outcome_of(pipeline, "splits")
    assert failed == ["failed:       splits", f"would run:    {others.replace('16', '15')}"]


def test_a_stage_below_one_that_would_run_is_not_called_up_to_date(tmp_path: Path) -> None:
    recipe = coloured_corpus(tmp_path / "corpus")
    pipeline = Pipeline(recipe=str(recipe), store=str(tmp_path / "store"))
    outcome_of(pipeline, "images", "captions")
    next((tmp_path / "corpus" / "pictures").glob("*.png")).unlink()
    assert outcome_of(pipeline, "captions") == ["would run:    captions, 16 not selected (why: spn4cir status)"]


def test_a_recipe_that_cannot_be_read_does_not_hide_what_was_done(tmp_path: Path) -> None:
    pipeline = Pipeline(recipe=str(tiny_recipe_file(tmp_path)), store=str(tmp_path / "store"))
    outcome = RunOutcome([dg.AssetKey(["shoes", "images"])])
    outcome.reused["images"] = False
    (tmp_path / "tiny.toml").write_text("[", encoding="utf-8")
    assert outcome.beginning() == "looking at: images" and outcome.end(pipeline) == "done\ncomputed:     images"
