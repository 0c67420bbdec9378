"""The flow end to end: what runs again after a change, and that nothing else does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core import flow
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.errors import RecipeError, StoreError
from spn4cir_core.flow import STAGES, outdated, selected
from spn4cir_core.launch.run_flow import run
from spn4cir_core.recipe import load_recipe
from spn4cir_core.store.artifacts import Artifact, Store
from tests.pipelines import tiny_recipe_file

BANK = '[sets]\nmine = ["m1"]\n\n[[template]]\nid = "m1"\ntext = "{text}"\n'


def downstream_of(*names: str) -> set[str]:
    """The stages that follow from these by their parents, themselves included."""
    reached = set(names)
    for stage in STAGES.values():
        if reached & set(stage.parents):
            reached.add(stage.name)
    return reached


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished tiny pipeline, shared by the tests of this module."""
    folder = tmp_path_factory.mktemp("flow")
    run(load_recipe(tiny_recipe_file(folder)), Store(folder / "store"))
    return folder


def computed(folder: Path, **overrides: object) -> set[str]:
    """Run everything and name the stages that were not already there."""
    fresh: set[str] = set()

    def record(artifact: Artifact, reused: bool) -> None:
        if not reused:
            fresh.add(artifact.noun)

    run(load_recipe(tiny_recipe_file(folder, **overrides)), Store(folder / "store"), on_stage_done=record)
    return fresh


def data_files(artifact: Artifact) -> dict[str, str]:
    return {name: recorded["sha256"] for name, recorded in artifact.summary["files"].items() if name != "metrics.jsonl"}


def test_stages_stand_after_their_parents() -> None:
    seen: set[str] = set()
    for stage in STAGES.values():
        assert seen.issuperset(stage.inputs_drawn), stage.name
        seen.add(stage.name)


def test_a_stage_opens_only_files_of_what_it_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every option on that reads further up: validation, and batches of look-alikes and of one category."""
    opened: dict[str, set[str]] = {name: set() for name in STAGES}
    running: list[str] = []
    file = Artifact.file

    def recorded(artifact: Artifact, name: str) -> Path:
        if running:
            opened[running[-1]].add(artifact.noun)
        return file(artifact, name)

    def writing(stage: Stage[Any]) -> Callable[[Work[Any]], None]:
        def write(work: Work[Any]) -> None:
            running.append(stage.name)
            try:
                stage.write(work)
            finally:
                running.pop()

        return write

    monkeypatch.setattr(Artifact, "file", recorded)
    for name, stage in STAGES.items():
        monkeypatch.setitem(STAGES, name, replace(stage, write=writing(stage)))
    validation = {"every_steps": 2, "queries": "triplets", "origins": ["generated", "annotated"]}
    training = {"steps": 4, "batch_size": 16, "validation": validation}
    shapes = {"kind": "shapes", "scenes": 12, "edits": 4, "test_scenes": 4, "validation_scenes": 4}
    tables = {
        "images": {"reader": shapes},
        "annotations": {"max_triplets": 40},
        "stage1_checkpoint": training | {"batches": {"kind": "clustered"}},
        "stage2_checkpoint": training
        | {"batches": {"kind": "same_category"}, "validation": {"every_steps": 2, "queries": "caption_edits"}},
    }
    run(load_recipe(tiny_recipe_file(tmp_path, **tables)), Store(tmp_path / "store"))
    for name, stage in STAGES.items():
        assert opened[name] <= {*stage.inputs_drawn}, name
    further_up = {path[-1] for path in STAGES["stage1_checkpoint"].reads_also}
    opened_in_training = opened["stage1_checkpoint"] | opened["stage2_checkpoint"]
    assert further_up <= opened_in_training, "not all that is declared was read"


def test_nothing_is_computed_twice(folder: Path) -> None:
    assert computed(folder) == set()
    assert outdated(load_recipe(tiny_recipe_file(folder)), Store(folder / "store")) == {}


def test_every_artefact_is_whole(folder: Path) -> None:
    store = Store(folder / "store")
    for name in STAGES:
        artifact = store.current("tiny", name)
        assert artifact is not None
        artifact.verify()
    assert not list((folder / "store").glob("*/.*draft"))


def test_a_changed_template_touches_only_what_follows(folder: Path) -> None:
    bank = folder / "bank.toml"
    bank.write_text(BANK.replace("{text}", "now {added}"), encoding="utf-8")
    tables = {"templates": {"bank": str(bank), "use": ["mine"]}}
    assert computed(folder, **tables) == downstream_of("templates")
    bank.write_text("# a comment changes nothing\n" + BANK.replace("{text}", "now {added}"), encoding="utf-8")
    assert computed(folder, **tables) == set()
    bank.write_text(BANK.replace("{text}", "rather {added}"), encoding="utf-8")
    assert set(outdated(load_recipe(tiny_recipe_file(folder, **tables)), Store(folder / "store"))) == downstream_of(
        "templates"
    )
    assert computed(folder, **tables) == downstream_of("templates")


def test_a_recipe_key_touches_only_the_stages_that_read_it(folder: Path) -> None:
    stage2 = {"steps": 5, "batch_size": 16}
    assert computed(folder, stage2_checkpoint=stage2) == downstream_of("control_checkpoint", "stage2_checkpoint")


def test_a_second_store_holds_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    recipe = load_recipe(tiny_recipe_file(folder))
    first = run(recipe, Store(folder / "store"))
    second = run(recipe, Store(tmp_path / "other"))
    for name in STAGES:
        assert first[name].fingerprint == second[name].fingerprint, name
        assert data_files(first[name]) == data_files(second[name]), name


def test_a_stage_without_its_parent_says_what_to_do(tmp_path: Path) -> None:
    recipe = load_recipe(tiny_recipe_file(tmp_path))
    with pytest.raises(StoreError, match=r"recipe 'tiny' has not made images in .*, for captions"):
        run(recipe, Store(tmp_path / "store"), ["captions"])
    with pytest.raises(RecipeError, match="no stage 'caption'; did you mean 'captions'"):
        run(recipe, Store(tmp_path / "store"), ["caption"])


def test_importing_the_flow_loads_neither_torch_nor_transformers() -> None:
    code = "import sys, spn4cir_core.flow; print([m for m in ('torch', 'transformers', 'dagster') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_all_that_is_missing_above_a_selection_is_named_before_anything_runs(tmp_path: Path) -> None:
    recipe, store = load_recipe(tiny_recipe_file(tmp_path)), Store(tmp_path / "store")
    run(recipe, store, ["images", "templates"])
    ran: list[str] = []
    with pytest.raises(StoreError) as caught:
        run(recipe, store, selected(["triplets+"]), on_stage_done=lambda artifact, _: ran.append(artifact.noun))
    assert "has not made annotations, captions, image_embeddings, splits, pairs, modified_texts in" in str(caught.value)
    assert not ran


def test_a_plus_selects_all_downstream() -> None:
    assert set(selected(["triplets+"])) == flow.downstream_of("triplets") | {"triplets"}
    assert selected(["pairs", "captions"]) == ["captions", "pairs"]
    with pytest.raises(RecipeError, match="no stage 'triplet'"):
        selected(["triplet+"])
