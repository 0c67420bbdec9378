"""What `spn4cir run` made is shown by Dagster, once, as fresh, and goes stale as its own runs do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dagster_project import ui
from dagster_project.definitions import definitions_for
from dagster_project.recorded_artifacts import record_artifacts
from dagster_project.resources import Pipeline
from spn4cir_core.flow import STAGES
from tests.pipelines import tiny_recipe_file

FIRST = ["images", "templates", "annotations", "captions"]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def run_stages(pipeline: Pipeline) -> None:
    """As the command line does, without Dagster."""
    recipe, store = pipeline.load()
    for name in FIRST:
        STAGES[name].run(recipe, store)


def materializations(instance: dg.DagsterInstance, name: str) -> list[dg.AssetMaterialization]:
    records = instance.fetch_materializations(dg.AssetKey(name), limit=10).records
    return [record.asset_materialization for record in records if record.asset_materialization]


def test_artifacts_of_the_command_line_are_recorded_once(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    pipeline = Pipeline(recipe=str(tiny_recipe_file(tmp_path)), store=str(tmp_path / "store"))
    assert record_artifacts(instance, pipeline) == [], "an empty store holds nothing"
    run_stages(pipeline)
    assert record_artifacts(instance, pipeline) == FIRST
    recipe, store = pipeline.load()
    for name in FIRST:
        [event], artifact = materializations(instance, name), store.current(recipe.name, name)
        assert artifact is not None
        assert event.metadata["fingerprint"].value == artifact.fingerprint
        assert event.metadata["rows"].value == artifact.summary["rows"]
    assert record_artifacts(instance, pipeline) == []


def test_dagsters_own_run_then_finds_nothing_to_do(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    pipeline = Pipeline(recipe=str(tiny_recipe_file(tmp_path)), store=str(tmp_path / "store"))
    run_stages(pipeline)
    record_artifacts(instance, pipeline)
    job = definitions_for(pipeline).resolve_job_def("everything")
    result = job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey(name) for name in FIRST])
    assert result.success
    states = {event.materialization.metadata["state"].value for event in result.get_asset_materialization_events()}
    assert states == {"up to date"}
    assert record_artifacts(instance, pipeline) == [], "what Dagster recorded is not recorded again"


def test_a_prefix_is_that_of_the_code_location(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    pipeline = Pipeline(recipe=str(tiny_recipe_file(tmp_path)), store=str(tmp_path / "store"))
    run_stages(pipeline)
    record_artifacts(instance, pipeline, ["shoes"])
    assert set(instance.get_asset_keys()) == {dg.AssetKey(["shoes", name]) for name in FIRST}


def test_a_recipe_that_cannot_be_read_does_not_keep_the_ui_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPN4CIR_RECIPE", str(tmp_path / "missing.toml"))
    monkeypatch.setattr(ui.sys, "argv", ["ui"])
    monkeypatch.setattr(ui, "run_with_children", lambda words: 5)
    with pytest.raises(SystemExit) as ended:
        ui.main()
    assert ended.value.code == 5
    assert "missing.toml" in capsys.readouterr().err
