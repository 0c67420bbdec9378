"""The whole flow on a real S3 server: the bytes of a local store, and nothing twice on a second machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.flow import STAGES, outdated
from spn4cir_core.launch.run_flow import run
from spn4cir_core.recipe import load_recipe
from spn4cir_core.store.artifacts import Artifact, Store
from tests.pipelines import tiny_recipe_file
from tests.s3_servers import Cloud

OF_THE_CLOCK = ("metrics.jsonl", "report.html", "report.json")
"""Files that hold seconds."""


def computed(recipe: Any, store: Store) -> list[str]:
    """Run everything and name the stages that were not already there."""
    fresh: list[str] = []

    def record(artifact: Artifact, reused: bool) -> None:
        if not reused:
            fresh.append(artifact.noun)

    run(recipe, store, on_stage_done=record)
    return fresh


def data_files(store: Store, noun: str) -> dict[str, str]:
    artifact = store.current("tiny", noun)
    assert artifact is not None
    artifact.verify()
    files = artifact.summary["files"]
    return {name: recorded["sha256"] for name, recorded in files.items() if not name.endswith(OF_THE_CLOCK)}


def test_the_flow_on_s3_has_the_bytes_of_a_local_store_and_another_machine_computes_nothing(
    cloud: Cloud,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    recipe, local = load_recipe(tiny_recipe_file(tmp_path)), Store(tmp_path / "local")
    assert computed(recipe, cloud.machine("one")) == list(STAGES)
    assert computed(recipe, cloud.machine("one")) == []
    other = cloud.machine("two")
    assert outdated(recipe, other) == {} and computed(recipe, other) == []
    assert computed(recipe, local) == list(STAGES)
    for noun in STAGES:
        assert data_files(other, noun) == data_files(local, noun), noun
