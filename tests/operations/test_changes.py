"""Why a stage would run: every kind of difference is named, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spn4cir_core import flow
from spn4cir_core.captions.settings import CaptionsInput
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.errors import InputError
from spn4cir_core.images.settings import ImagesInput
from spn4cir_core.launch import run_flow
from spn4cir_core.operations import changes
from spn4cir_core.operations.changes import (
    NOT_MADE,
    OUTSIDE,
    UNKNOWN,
    late_above,
    reusable_artifacts,
    why_outdated,
)
from spn4cir_core.pairs.settings import PairsInput
from spn4cir_core.recipe import load_recipe
from spn4cir_core.store.artifacts import Store

outside = {"value": "first"}
GONE = "model folder /none does not exist"


def write(work: Work) -> None:
    work.draft.rows = 1


def read_outside(settings: object, store: Store) -> dict[str, str]:
    if not outside:
        raise InputError(GONE)
    return dict(outside)


def stages(version: int = 1) -> dict[str, Stage]:
    made = (
        Stage("images", (), ImagesInput, 1, write, external_inputs=read_outside),
        Stage("captions", ("images",), CaptionsInput, version, write),
        Stage("pairs", ("captions", "images"), PairsInput, 1, write),
    )
    return {stage.name: stage for stage in made}


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    def replace(version: int) -> None:
        for module in (flow, run_flow, changes):
            monkeypatch.setattr(module, "STAGES", stages(version))

    replace(1)
    outside.update(value="first")
    return replace


def test_each_kind_of_change_is_told_once_and_what_follows_is_told_as_such(tmp_path: Path, use: Any) -> None:
    store, recipe = Store(tmp_path), load_recipe("demo")
    assert why_outdated(recipe, store) == {
        "images": [NOT_MADE],
        "captions": [NOT_MADE],
        "pairs": [NOT_MADE],
    }
    run_flow.run(recipe, store, stages())
    assert why_outdated(recipe, store) == {}
    edited = load_recipe("demo", {"pairs": {"window": [5, 100]}, "seed": 3})
    assert why_outdated(edited, store) == {"pairs": ["pairs.window: [1, 20] → [5, 100]", "seed: 0 → 3"]}
    use(2)
    assert why_outdated(recipe, store) == {
        "captions": ["the stage works in another way: version 1 → 2"],
        "pairs": ["captions would run"],
    }
    use(1)
    outside["value"] = "second"
    assert why_outdated(recipe, store) == {
        "images": [f"{OUTSIDE}: value has changed"],
        "captions": ["images would run"],
        "pairs": ["captions, images would run"],
    }
    run_flow.run(recipe, store, ["images"])
    new, old = store.current("demo", "images"), store.before("demo", "images")
    assert new and old
    assert why_outdated(recipe, store) == {
        "captions": [f"made from another images: {old.fingerprint} → {new.fingerprint}"],
        "pairs": ["captions would run", f"made from another images: {old.fingerprint} → {new.fingerprint}"],
    }


def test_settings_that_come_and_go_and_long_values(tmp_path: Path) -> None:
    was = {"a": 1, "gone": "x" * 100, "deep": {"one": None, "same": [1]}}
    now = {"a": 1, "new": True, "deep": {"one": 0, "same": [1]}}
    assert list(changes._differences(was, now)) == [
        "deep.one: null → 0",
        f"gone: no longer asked (was {'x' * 59}…)",
        "new: true (was not asked before)",
    ]


def test_a_stage_that_cannot_read_its_inputs_is_late_and_the_others_are_looked_at(tmp_path: Path, use: Any) -> None:
    store, recipe = Store(tmp_path), load_recipe("demo")
    outside.clear()
    assert why_outdated(recipe, store)["images"] == [NOT_MADE, GONE]
    outside.update(value="first")
    run_flow.run(recipe, store, stages())
    use(2)
    outside.clear()
    follows = ["images would run", "the stage works in another way: version 1 → 2"]
    assert why_outdated(recipe, store) == {
        "images": [f"{UNKNOWN}: {GONE}"],
        "captions": follows,
        "pairs": ["captions, images would run"],
    }
    assert reusable_artifacts(recipe, store) == {}
    assert late_above(["captions"], flow.outdated(recipe, store)) == {"captions": ["images"]}
    assert run_flow.run(recipe, store, ["captions"]).keys() == {"captions"}


def test_what_is_late_above_the_stages_that_are_run(tmp_path: Path, use: Any) -> None:
    store, recipe = Store(tmp_path), load_recipe("demo")
    run_flow.run(recipe, store, stages())
    assert late_above(["pairs"], flow.outdated(recipe, store)) == {}
    outside["value"] = "second"
    late = flow.outdated(recipe, store)
    assert late_above(["pairs"], late) == {"pairs": ["images", "captions"]}
    assert late_above(["captions", "pairs"], late) == {"captions": ["images"], "pairs": ["images"]}
    assert late_above(["images", "captions", "pairs"], late) == {}
