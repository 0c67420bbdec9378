"""What a store does where somebody deleted or cut files of it: it says which, and goes on where it can."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pyarrow as pa
import pytest

from spn4cir_core import flow
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.errors import StoreError
from spn4cir_core.flow import outdated
from spn4cir_core.images.settings import ImagesInput
from spn4cir_core.operations import changes, doctor
from spn4cir_core.operations.changes import why_outdated
from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.summaries import SUMMARY
from spn4cir_core.store.whole_file import whole_file


def write(work: Work) -> None:
    work.draft.write_table(pa.table({"image_id": ["a"]}), "images.parquet")
    work.draft.rows = 1


STAGE = Stage("images", (), ImagesInput, 1, write)


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    for module in (flow, changes, doctor):
        monkeypatch.setattr(module, "STAGES", {"images": STAGE})
    return load_recipe("demo")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_folder_without_a_summary_is_found_and_made_anew(recipe: Recipe, store: Store) -> None:
    artifact, _ = STAGE.run(recipe, store)
    (artifact.path / SUMMARY).unlink()
    assert str(artifact.path) in why_outdated(recipe, store)["images"][0]
    symptoms = list(doctor.artifacts(store, recipe.name))
    assert [symptom.state for symptom in symptoms] == ["note"] and str(artifact.path) in symptoms[0].finding
    again, reused = STAGE.run(recipe, store)
    assert not reused and again.table().num_rows == 1 and outdated(recipe, store) == {}


@pytest.mark.parametrize("what", ["deleted", "cut"])
def test_a_lost_or_cut_file_is_named_with_the_folder_to_delete(recipe: Recipe, store: Store, what: str) -> None:
    artifact, _ = STAGE.run(recipe, store)
    path = artifact.path / "images.parquet"
    if what == "deleted":
        path.unlink()
    else:
        os.truncate(path, 40)
    says = f"{path} (is missing|has 40 bytes).*Delete {artifact.path} and run again"
    for read in (artifact.table, lambda: STAGE.run(recipe, store)):
        with pytest.raises(StoreError, match=says):
            read()
    assert list(outdated(recipe, store)) == ["images"]
    assert f"Delete {artifact.path}" in why_outdated(recipe, store)["images"][0]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_have_the_mode_of_the_umask_whoever_writes_them(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        with whole_file(tmp_path / "weights") as scratch:
            scratch.unlink(missing_ok=True)
            os.close(os.open(scratch, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "weights").stat().st_mode) == 0o666 & ~umask
