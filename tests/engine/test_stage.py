from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from spn4cir_core.annotations.settings import AnnotationSettings
from spn4cir_core.engine.plugins import Settings
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.errors import InputChanged, LaunchError, StoreError
from spn4cir_core.recipe import Recipe
from spn4cir_core.splits.settings import SplitSettings
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.whole_file import read_json
from tests.processes_in_threads import together


class Nothing(Settings):
    pass


class OnlySplits(Settings):
    splits: SplitSettings


class SplitsAndSeed(OnlySplits):
    seed: int


class Counted:
    """A stage's function that counts its calls and writes what it is told."""

    def __init__(self, text: str = "a") -> None:
        self.calls, self.text = 0, text

    def __call__(self, work: Work) -> None:
        self.calls += 1
        work.draft.write_table(pa.table({"text": [self.text]}), "result.parquet")


def recipe(seed: int = 0, cosine: float = 0.9, max_triplets: int | None = None, name: str = "test") -> Recipe:
    return Recipe.model_construct(
        name=name,
        seed=seed,
        splits=SplitSettings(near_duplicate_cosine=cosine),
        annotations=AnnotationSettings(max_triplets=max_triplets),
    )


def stage(write: Any = None, **changes: Any) -> Stage:
    fields: dict[str, Any] = {
        "name": "first",
        "parents": (),
        "view": OnlySplits,
        "version": 1,
        "write": write or Counted(),
    }
    return Stage(**{**fields, "write": write or Counted(), **changes})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def fingerprint_of(store: Store, made: Stage, selected: Recipe) -> str:
    return made.run(selected, store)[0].fingerprint


def test_equal_inputs_are_computed_once_whoever_asks(store: Store) -> None:
    write = Counted()
    first, reused = stage(write).run(recipe(), store)
    assert not reused and stage(write).run(recipe(), store) == (first, True)
    assert stage(write).run(recipe(name="other"), store) == (first, True)
    assert write.calls == 1 and store.current("other", "first") == first


def test_the_fingerprint_changes_only_with_what_the_stage_reads(store: Store) -> None:
    base = fingerprint_of(store, stage(), recipe())
    assert fingerprint_of(store, stage(), recipe(seed=1, max_triplets=3)) == base
    assert fingerprint_of(store, stage(), recipe(cosine=0.8)) != base
    assert fingerprint_of(store, stage(view=SplitsAndSeed), recipe()) != fingerprint_of(
        store, stage(view=SplitsAndSeed), recipe(seed=1)
    )


def test_what_was_read_while_it_changed_is_not_kept(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "pictures"
    arriving = [f"{number} pictures" for number in range(4)]

    def growing(work: Work) -> None:
        work.draft.write_json(file.read_text(), "result.json")
        file.write_text(arriving.pop(0) if arriving else file.read_text())

    reading = stage(growing, external_inputs=lambda part, used_store: file.read_text())
    file.write_text("no picture")
    with pytest.raises(InputChanged, match="first: what it reads was changed meanwhile"):
        reading.run(recipe(), store)
    assert not list(store.root.glob("first/*")) and not list(store.root.glob("first/.*"))
    artifact, reused = reading.run(recipe(), store)
    assert not reused and read_json(artifact.file("result.json")) == "3 pictures", "then it held still"
    assert artifact.summary["outside"] == "3 pictures" and len(list(store.root.glob("first/*"))) == 1


def test_version_name_and_outside_change_it_too(store: Store) -> None:
    marks = [
        fingerprint_of(store, made, recipe())
        for made in (
            stage(),
            stage(version=2),
            stage(name="second"),
            stage(external_inputs=lambda part, used_store: "files 1"),
            stage(external_inputs=lambda part, used_store: "files 2"),
        )
    ]
    assert len(set(marks)) == len(marks)


def test_a_changed_parent_changes_the_child_and_going_back_computes_nothing(store: Store) -> None:
    write = Counted()
    child = stage(write, name="second", parents=("first",), view=Nothing)
    parent = stage()
    marks = []
    for cosine in (0.9, 0.8, 0.9):
        parent.run(recipe(cosine=cosine), store)
        marks.append(fingerprint_of(store, child, recipe(cosine=cosine)))
    assert marks[0] == marks[2] != marks[1] and write.calls == 2


def test_a_parent_that_a_recipe_does_not_read_is_no_input_of_its_artefact(store: Store) -> None:
    parents: list[set[str]] = []

    def write(work: Work) -> None:
        parents.append(set(work.parents))
        work.draft.write_table(pa.table({"text": ["a"]}), "result.parquet")

    child = stage(
        write,
        name="second",
        parents=("first",),
        parents_if={"first": lambda part: part.splits.near_duplicate_cosine > 0.5},
    )
    without = fingerprint_of(store, child, recipe(cosine=0.4))
    with pytest.raises(StoreError, match="second needs first"):
        child.run(recipe(cosine=0.9), store)
    assert child.wanted(recipe(cosine=0.9), store) is None
    stage().run(recipe(cosine=0.9), store)
    read = fingerprint_of(store, child, recipe(cosine=0.9))
    stage(version=2).run(recipe(cosine=0.9), store)
    assert child.wanted(recipe(cosine=0.9), store) != read
    assert child.wanted(recipe(cosine=0.4), store) == without
    assert parents == [set(), {"first"}]


def test_a_missing_parent_is_named(store: Store) -> None:
    with pytest.raises(StoreError, match="second needs first, which recipe 'test' has not made"):
        stage(name="second", parents=("first",)).run(recipe(), store)


def test_a_setting_that_the_stage_did_not_declare_cannot_be_read(store: Store) -> None:
    def peek(work: Work) -> None:
        print(work.settings.annotations)

    with pytest.raises(AttributeError, match="annotations"):
        stage(peek).run(recipe(), store)
    assert store.current("test", "first") is None


def test_a_failed_stage_leaves_the_previous_artifact_current(store: Store) -> None:
    good, _ = stage().run(recipe(), store)

    def fail(work: Work) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        stage(fail, version=2).run(recipe(), store)
    assert store.current("test", "first") == good


def test_a_store_that_fails_before_and_after_the_draft_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file")

    def outside(part: Recipe, used_store: Store) -> str:
        used_store.rows("a", "b").mkdir(parents=True)
        return ""

    with pytest.raises(StoreError, match="cannot write first into the store"):
        stage(external_inputs=outside).run(recipe(), store)


def test_several_processes_publish_the_draft_of_the_first_and_the_others_vanish(store: Store) -> None:
    drafts: dict[int, Path] = {}

    def write(work: Work) -> None:
        drafts[work.processes.rank] = work.draft.path
        work.draft.write_table(pa.table({"text": [f"by {work.processes.rank}"]}), "result.parquet")

    made = stage(write, multi_process=True)
    result = together(3, lambda processes: made.run(recipe(), store, processes=processes))
    assert len(drafts) == 3 and not any(path.exists() for path in drafts.values())
    assert {(artifact.fingerprint, reused) for artifact, reused in result} == {
        (fingerprint_of(store, made, recipe()), False)
    }
    assert result[2][0].table("result.parquet")["text"].to_pylist() == ["by 0"]
    again = together(3, lambda processes: made.run(recipe(), store, processes=processes))
    assert [reused for _, reused in again] == [True] * 3


@pytest.mark.parametrize("broken", [0, 1])
def test_a_failing_process_leaves_no_artefact(store: Store, broken: int) -> None:
    def write(work: Work) -> None:
        if work.processes.rank == broken:
            raise ValueError(f"{broken} fails")
        work.draft.write_table(pa.table({"text": ["whole"]}), "result.parquet")

    made = stage(write, multi_process=True)
    with pytest.raises(ValueError, match=f"{broken} fails"):
        together(2, lambda processes: made.run(recipe(), store, processes=processes))
    assert store.current("test", "first") is None and not list(store.root.glob("first/[0-9a-f]*"))


def test_processes_that_see_different_inputs_stop(store: Store) -> None:
    def run_one(processes: Any) -> Any:
        return stage(multi_process=True).run(recipe(cosine=0.9 - 0.1 * processes.rank), store, processes=processes)

    with pytest.raises(StoreError, match="process 1 finds"):
        together(2, run_one)
    assert store.current("test", "first") is None


def test_a_stage_of_one_process_refuses_several(store: Store) -> None:
    with pytest.raises(LaunchError, match="first runs in one process, and 2 were started"):
        together(2, lambda processes: stage().run(recipe(), store, processes=processes))
