"""The whole tiny pipeline through Dagster: materialise, reuse, fail, and mend what is out of date."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.automation import sync_when_changed
from dagster_project.definitions import definitions_for
from dagster_project.resources import Pipeline
from dagster_project.sync import RUN_KEY, state_of, sync_request
from spn4cir_core.flow import STAGES
from spn4cir_core.judgements.judgement import Judgement
from spn4cir_core.judgements.judgement_log import JudgementLog
from spn4cir_core.splits.split_tables import split_of_images
from tests.pipelines import tiny_recipe_file

ROOT = Path(__file__).parents[2]
ENOUGH = 3
"""Judgements that start a run."""
BANK = '[sets]\nmine = ["m1"]\n\n[[template]]\nid = "m1"\ntext = "{text}"\n'


class Project:
    """A tiny recipe as a code location with an instance of its own."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.folder, self.instance = folder, instance
        self.bank = folder / "bank.toml"
        self.edit_bank("now {added}")
        tables = {"templates": {"bank": str(self.bank), "use": ["mine"]}, "annotations": {"judgements_step": ENOUGH}}
        self.recipe = tiny_recipe_file(folder, **tables)
        self.pipeline = Pipeline(recipe=str(self.recipe), store=str(folder / "store"))
        self.defs = definitions_for(self.pipeline)

    def edit_bank(self, text: str) -> None:
        self.bank.write_text(BANK.replace("{text}", text), encoding="utf-8")

    def run(self, job: str = "everything", **options: object) -> dg.ExecuteInProcessResult:
        return self.defs.resolve_job_def(job).execute_in_process(instance=self.instance, **options)  # type: ignore[arg-type]

    def look(self, cursor: str | None) -> tuple[dg.RunRequest | str, str | None]:
        """What the sensor says, a skip by its reason, and its cursor."""
        context = dg.build_sensor_context(
            self.instance, cursor, repository_def=self.defs.get_repository_def(), resources={"pipeline": self.pipeline}
        )
        outcome = sync_when_changed(context)
        said = outcome if isinstance(outcome, dg.RunRequest) else str(outcome.skip_message)  # type: ignore[union-attr]
        return said, context.cursor

    def wanted(self) -> dg.RunRequest | dg.SkipReason:
        return sync_request(self.instance, self.defs.get_repository_def(), state_of(self.pipeline))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with dg.DagsterInstance.ephemeral() as instance:
        project = Project(tmp_path_factory.mktemp("dagster"), instance)
        assert project.run().success
        yield project


def computed(result: dg.ExecuteInProcessResult) -> set[str]:
    events = result.get_asset_materialization_events()
    return {
        event.asset_key.to_user_string()
        for event in events
        if event.asset_key and event.materialization.metadata["state"].value == "computed"
    }


def test_the_first_run_made_everything_and_passed_its_checks(project: Project) -> None:
    assert isinstance(project.wanted(), dg.SkipReason)
    records = project.instance.get_asset_records([dg.AssetKey(name) for name in STAGES])
    assert len(records) == len(STAGES)
    again = project.run()
    assert computed(again) == set()
    evaluations = again.get_asset_check_evaluations()
    assert len(evaluations) >= 8 and all(evaluation.passed for evaluation in evaluations)


def test_the_data_version_is_the_fingerprint(project: Project) -> None:
    recipe, store = project.pipeline.load()
    for record in project.instance.get_asset_records([dg.AssetKey(name) for name in STAGES]):
        event = record.asset_entry.last_materialization
        assert event is not None and event.asset_materialization is not None and event.asset_materialization.tags
        artifact = store.current(recipe.name, record.asset_entry.asset_key.path[-1])
        assert artifact is not None
        assert event.asset_materialization.tags["dagster/data_version"] == artifact.fingerprint


def test_people_see_pictures_samples_and_curves(project: Project) -> None:
    shown = {}
    for name in ("images", "captions", "stage2_checkpoint", "eval_report"):
        event = project.instance.get_latest_materialization_event(dg.AssetKey(name))
        assert event is not None and event.asset_materialization is not None
        shown[name] = event.asset_materialization.metadata
    assert "data:image/jpeg" in str(shown["images"]["contact_sheet"].value)
    assert isinstance(shown["captions"]["sample"], dg.TableMetadataValue)
    assert "data:image/svg" in str(shown["stage2_checkpoint"]["loss_curve"].value)
    assert any(isinstance(value, dg.FloatMetadataValue) for value in shown["eval_report"].values())
    assert "R@1" in str(shown["eval_report"]["headline"].value)
    assert "data:image/jpeg" in str(shown["eval_report"]["examples"].value)


def test_an_edited_template_asks_for_exactly_what_follows_and_a_failed_state_is_not_retried(project: Project) -> None:
    project.edit_bank("rather {added}")
    request = project.wanted()
    assert isinstance(request, dg.RunRequest) and request.asset_selection is not None
    late = {key.path[-1] for key in request.asset_selection}
    assert {"templates", "modified_texts", "triplets", "stage2_checkpoint", "search_index"} <= late
    assert not late & {"images", "captions", "image_embeddings", "splits", "pairs", "annotations"}
    same = project.wanted()
    assert isinstance(same, dg.RunRequest) and same.run_key == request.run_key
    result = project.run("from_templates")
    assert computed(result) == late
    project.edit_bank("now {added}")
    back = project.wanted()
    assert isinstance(back, dg.RunRequest) and back.run_key != request.run_key
    assert computed(project.run()) == set(), "the first bank's artefacts are still there"
    project.edit_bank("rather {added}")
    forth = project.wanted()
    assert isinstance(forth, dg.RunRequest) and forth.run_key not in {request.run_key, back.run_key}
    assert project.run().success


def test_a_failing_stage_fails_the_run_with_its_message(project: Project) -> None:
    project.edit_bank("no placeholder")
    result = project.run(raise_on_error=False)
    project.edit_bank("now {added}")
    assert not result.success
    failures = [event for event in result.all_events if event.is_step_failure]
    assert any("m1" in str(event.step_failure_data.error) for event in failures)
    assert project.run().success


def command(*words: str, folder: Path, recipe: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DAGSTER", "SPN4CIR"))}
    environment |= {
        "DAGSTER_MODULE_NAME": "dagster_project.definitions",
        "SPN4CIR_RECIPE": str(recipe),
        "SPN4CIR_STORE": str(folder / "store"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    line = [sys.executable, "-m", "dagster", "asset", "materialize", *words]
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_customers_command_succeeds_from_a_clean_shell_and_fails_with_the_stage(project: Project) -> None:
    done = command("--select", "triplets+", folder=project.folder, recipe=project.recipe)
    assert done.returncode == 0, done.stderr[-2000:]
    missing = command("--select", "triplets+", folder=project.folder / "nowhere", recipe=project.recipe)
    assert missing.returncode != 0
    assert "has not made images" in missing.stderr + missing.stdout


def test_enough_judgements_start_one_run(project: Project) -> None:
    recipe, store = project.pipeline.load()
    splits = store.current(recipe.name, "splits")
    assert splits is not None
    images = [image_id for image_id, split in sorted(split_of_images(splits).items()) if split == "train"]
    log, purposes = JudgementLog(store, recipe.name), dict.fromkeys(images, "train")
    judgements = [Judgement((images[0],), f"text {number}", images[1], "right", judge="Ann") for number in range(4)]

    said, cursor = project.look(None)
    log.add(judgements[: ENOUGH - 1], purposes)  # type: ignore[arg-type]
    said, cursor = project.look(cursor)
    assert said == "everything is up to date"
    log.add(judgements[ENOUGH - 1 : ENOUGH], purposes)  # type: ignore[arg-type]
    said, cursor = project.look(cursor)
    assert "something changed" in str(said)
    request, cursor = project.look(cursor)
    assert isinstance(request, dg.RunRequest) and request.asset_selection is not None
    late = {key.path[-1] for key in request.asset_selection}
    assert {"annotations", "triplets", "stage2_checkpoint", "blend"} <= late
    assert not late & {"images", "captions", "image_embeddings", "templates"}
    log.add(judgements[ENOUGH:], purposes)  # type: ignore[arg-type]
    again, cursor = project.look(cursor)
    assert isinstance(again, dg.RunRequest) and again.run_key == request.run_key, "Dagster starts a key once"

    job = project.defs.resolve_job_def("everything")
    tags = {**request.tags, RUN_KEY: str(request.run_key)}
    started = project.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)
    assert "a run is active" in str(project.look(cursor)[0])
    result = project.run(asset_selection=[dg.AssetKey("annotations")])
    assert computed(result) == {"annotations"}
    annotations = store.current(recipe.name, "annotations")
    assert annotations is not None and annotations.details["judgements"] == ENOUGH
    project.instance.delete_run(started.run_id)
    assert "annotations" not in state_of(project.pipeline).late
