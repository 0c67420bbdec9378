"""A scripted week: corpora arrive, grow and shrink, people edit; the sensor starts exactly what is affected.

The sensor is evaluated as the daemon does it, with a cursor and with run keys that count once for ever; the runs are
those that it asks for. In the end the artefacts are those of a run from scratch, byte for byte.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from PIL import Image

from dagster_project.automation import nightly_sync, sync_when_changed
from dagster_project.definitions import definitions_for
from dagster_project.resources import Pipeline
from spn4cir_core.flow import STAGES
from spn4cir_core.launch.run_flow import run
from spn4cir_core.recipe import load_recipe
from spn4cir_core.store.artifacts import Store
from tests.endurance.week import have_equal_files
from tests.watched_project import WatchedProject

RUN_KEY = "dagster/run_key"
SOURCES = {"images", "templates", "annotations"}
Outcome = set[str] | str


class Week(WatchedProject):
    """A project on folders of pictures, watched by the sensor."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        super().__init__(folder)
        self.instance, self.cursor = instance, None
        self.pipeline = Pipeline(recipe=str(self.recipe), store=str(folder / "store"))
        self.defs = definitions_for(self.pipeline)

    def look(self) -> dg.RunRequest | dg.SkipReason:
        """One tick of the sensor, with the cursor of the last one."""
        context = dg.build_sensor_context(
            self.instance, self.cursor, definitions=self.defs, resources={"pipeline": self.pipeline}
        )
        outcome = sync_when_changed(context)
        self.cursor = context.cursor
        assert isinstance(outcome, dg.RunRequest | dg.SkipReason)
        return outcome

    def tick(self) -> Outcome:
        """A tick, and the run it asks for unless its key is an old one: what was computed, or why nothing was."""
        request = self.look()
        if isinstance(request, dg.SkipReason):
            return str(request.skip_message)
        if self.instance.get_runs(dg.RunsFilter(tags={RUN_KEY: str(request.run_key)})):
            return "this run key has been"
        result = self.defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            asset_selection=list(request.asset_selection or ()),
            tags={RUN_KEY: str(request.run_key)},
            raise_on_error=False,
        )
        events = result.get_asset_materialization_events()
        computed = {event.materialization.asset_key.path[-1] for event in events}
        return computed if result.success else f"failed after {sorted(computed)}"

    def sync(self) -> Outcome:
        """Two ticks: the first sees a change, the second that it holds still."""
        first = self.tick()
        return (
            self.tick() if first == "something changed; a run starts if it looks the same at the next look" else first
        )

    def ids(self, noun: str, *columns: str, table: str = "") -> set[str]:
        artifact = Store(self.pipeline.store).current("tiny", noun)
        assert artifact is not None
        read = artifact.table(table, columns=list(columns))
        return {one for column in columns for one in read[column].to_pylist()}


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Week]:
    with dg.DagsterInstance.ephemeral() as instance:
        week = Week(tmp_path_factory.mktemp("week"), instance)
        assert week.sync() == set(STAGES), "Monday: everything is made"
        yield week


def test_nothing_is_started_when_nothing_changed(week: Week, tmp_path: Path) -> None:
    assert week.tick() == week.tick() == "everything is up to date"
    week.cursor = "the run key that an older version kept"
    assert week.tick() == "everything is up to date"
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        night = dg.build_schedule_context(
            instance, resources={"pipeline": week.pipeline}, repository_def=week.defs.get_repository_def()
        )
        assert isinstance(nightly_sync(night), dg.SkipReason)
        week.edit_bank("at night {added}")
        request = nightly_sync(night)
        week.edit_bank("now {added}")
    assert isinstance(request, dg.RunRequest) and dg.AssetKey("templates") in (request.asset_selection or ())


def test_a_new_corpus_is_taken_when_it_holds_still(week: Week) -> None:
    arriving = week.corpora / "second"
    arriving.mkdir()
    pictures = sorted(week.waiting.glob("*.png"))
    for half in (pictures[::2], pictures[1::2]):
        for picture in half:
            shutil.copy(picture, arriving)
        assert week.tick() == "something changed; a run starts if it looks the same at the next look"
    computed = week.tick()
    assert isinstance(computed, set) and computed == set(STAGES) - {"templates"}
    assert {f"second/{picture.name}" for picture in pictures} <= week.ids("search_index", "image_id")


def test_changed_and_removed_pictures_leave_everything_made_of_them(week: Week) -> None:
    first = sorted((week.corpora / "first").glob("*.png"))
    Image.new("RGB", (48, 48), "white").save(first[0])
    shutil.copy(week.corpora / "asked" / "00000.png", week.folder / "kept.png")
    gone = {f"first/{path.name}" for path in first[3:6]} | {
        f"second/{path.name}" for path in week.waiting.glob("*.png")
    }
    for path in first[3:6]:
        path.unlink()
    shutil.rmtree(week.corpora / "second")
    computed = week.sync()
    assert isinstance(computed, set) and "images" in computed and "templates" not in computed
    assert not gone & week.ids("images", "image_id")
    assert not gone & week.ids("captions", "image_id")
    assert not gone & week.ids("pairs", "reference_id", "target_id")
    assert not gone & week.ids("triplets", "reference_id", "target_id")
    assert not gone & week.ids("candidate_bank", "image_id")
    assert not gone & week.ids("search_index", "image_id")
    assert f"first/{first[0].name}" in week.ids("search_index", "image_id")


def test_edits_of_templates_and_annotations_cost_what_follows_of_them(week: Week) -> None:
    week.edit_bank("rather {added}")
    week.drop_a_query()
    computed = week.sync()
    assert isinstance(computed, set) and computed & SOURCES == {"templates", "annotations"}
    assert not computed & {"captions", "image_embeddings"} and {"stage2_checkpoint", "eval_report"} <= computed


def test_a_failed_state_is_tried_once_and_its_cure_is_taken(week: Week) -> None:
    good = week.queries.read_text()
    week.queries.write_text("no,such\ncolumn,here\n")
    assert week.sync() == "failed after []"
    assert all("has ended as failure; the next one starts when something" in str(week.tick()) for _ in range(3))
    week.queries.write_text(good)
    assert week.tick() == "everything is up to date", "the good artefact has stayed the current one"


def test_a_template_that_cannot_be_read_is_said_and_starts_nothing(week: Week) -> None:
    week.edit_bank("no placeholder")
    assert "cannot tell what is out of date: templates: template bank" in str(week.tick())
    week.edit_bank("rather {added}")
    assert week.tick() == "everything is up to date"


def test_nothing_is_started_on_top_of_a_run_and_an_edit_during_one_is_not_lost(week: Week) -> None:
    running = week.instance.create_run_for_job(
        week.defs.resolve_job_def("everything"), status=dg.DagsterRunStatus.STARTED
    )
    week.edit_recipe(draws=120)
    assert week.tick() == week.tick() == f"a run is active: {running.run_id[:8]} (started)"
    week.instance.delete_run(running.run_id)
    assert week.sync() == {"eval_report"}, "and no more than that"


def test_a_recipe_that_cannot_be_read_is_said_and_starts_nothing(week: Week) -> None:
    good = week.recipe.read_text()
    week.recipe.write_text("name =")
    assert "cannot tell what is out of date" in str(week.tick())
    week.recipe.write_text(good)
    assert week.tick() == "everything is up to date"


def test_after_the_week_the_artefacts_are_those_of_a_run_from_scratch(week: Week) -> None:
    recipe = load_recipe(str(week.recipe))
    for name, fresh in run(recipe, Store(week.folder / "scratch")).items():
        old = Store(week.pipeline.store).current("tiny", name)
        assert old is not None and old.fingerprint == fresh.fingerprint, name
        old.verify()
        assert have_equal_files(old, fresh), name
