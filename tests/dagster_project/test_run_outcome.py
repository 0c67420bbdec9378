from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import dagster as dg
from PIL import Image

from dagster_project.definitions import definitions_for
from dagster_project.resources import Pipeline
from dagster_project.run_outcome import RunOutcome
from spn4cir_core.captions.base import Captioner, ToCaption
from spn4cir_core.images.files import ImageFiles
from tests.dagster_project.executed_jobs import coloured_corpus
from tests.pipelines import tiny_recipe_file


class Raises(Captioner):
    """Fails with an error that nobody expected, of more than one line."""

    plugin_kind: ClassVar[str] = "tests.dagster_project.test_run_outcome:Raises"

    def fingerprint(self, files: ImageFiles) -> str:
        return "raises"

    def prompt(self, image: ToCaption) -> str:
        return ""

    def start(self, files: ImageFiles) -> Callable[[Sequence[ToCaption], Sequence[Image.Image]], list[str]]:
        raise ValueError("the weights\n  are gone")


def run_of(pipeline: Pipeline, *names: str) -> RunOutcome:
    """What a run of these assets has told."""
    defs, keys = definitions_for(pipeline), [dg.AssetKey(name) for name in names]
    outcome = RunOutcome(keys)
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(asset_selection=keys, raise_on_error=False)
    for event in result.all_events:
        outcome.add(event)
    return outcome


def outcome_of(pipeline: Pipeline, *names: str) -> list[str]:
    """The last lines of a run of these assets, without the report's path."""
    outcome = run_of(pipeline, *names)
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


def test_an_error_is_one_line_with_the_innermost_cause(tmp_path: Path) -> None:
    recipe = tiny_recipe_file(tmp_path, captions={"captioner": {"kind": Raises.plugin_kind}})
    pipeline = Pipeline(recipe=str(recipe), store=str(tmp_path / "store"))
    assert run_of(pipeline, "images").error() == ""
    assert run_of(pipeline, "captions").error() == "captions: ValueError: the weights are gone"


def test_a_reason_that_several_stages_give_is_said_once(tmp_path: Path) -> None:
    missing = {"kind": "cross_encoder", "model": str(tmp_path / "no_model")}
    pipeline = Pipeline(recipe=str(tiny_recipe_file(tmp_path, rerank=missing)), store=str(tmp_path / "store"))
    error = run_of(pipeline, "images", "templates", "eval_report").error()
    assert error.startswith("images, templates: rerank: model folder ") and error.count("no_model") == 1


def test_all_that_is_missing_above_a_stage_is_named(tmp_path: Path) -> None:
    pipeline = Pipeline(recipe=str(tiny_recipe_file(tmp_path)), store=str(tmp_path / "store"))
    assert "has not made images, annotations, image_embeddings in" in run_of(pipeline, "splits").error()


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
