"""A check looks again exactly where something that it read has changed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from spn4cir_core.operations import findings
from spn4cir_core.operations.checks import Check, Finding, RecipeArtifacts
from spn4cir_core.operations.findings import finding_of
from spn4cir_core.recipe import load_recipe
from tests.conftest import HandWritten


@pytest.fixture
def looks(hand_written: HandWritten, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of captions, one for each time that :func:`counted` really looked."""
    monkeypatch.setattr(findings, "code_state", lambda: "this code")
    hand_written("images", images=[{"image_id": "a"}])
    hand_written("captions", captions=[{"image_id": "a"}])
    return []


def counting(looks: list[int]) -> Check:
    def counted(artifacts: RecipeArtifacts) -> Finding:
        """As many captions as before."""
        before, now = artifacts.before("captions"), artifacts.ids("captions")
        looks.append(len(now))
        return Finding(before is None or before.summary["rows"] == len(now), f"{len(now)} captions", now)

    return counted


def test_the_same_files_are_looked_at_once(hand_written: HandWritten, looks: list[int]) -> None:
    artifacts, check = RecipeArtifacts("test", hand_written.store), counting(looks)
    assert finding_of(check, artifacts) == finding_of(check, artifacts) == Finding(True, "1 captions", ["a"])
    assert looks == [1]
    hand_written("images", images=[{"image_id": "a"}, {"image_id": "b"}])  # which it does not read
    assert finding_of(check, artifacts).passed and looks == [1]


def test_what_it_read_is_looked_at_again_once_it_is_another(hand_written: HandWritten, looks: list[int]) -> None:
    artifacts, check = RecipeArtifacts("test", hand_written.store), counting(looks)
    finding_of(check, artifacts)
    hand_written("captions", captions=[{"image_id": "a"}, {"image_id": "b"}])
    assert finding_of(check, artifacts) == Finding(False, "2 captions", ["a", "b"])
    hand_written("captions", captions=[{"image_id": "c"}, {"image_id": "d"}])
    assert finding_of(check, artifacts).passed, "the one before has two now"
    assert looks == [1, 2, 2]


def test_a_damaged_file_other_settings_and_other_code_are_looked_at(
    hand_written: HandWritten, looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts, check = RecipeArtifacts("test", hand_written.store), counting(looks)
    finding_of(check, artifacts)
    finding_of(check, replace(artifacts, recipe=load_recipe("demo")))
    monkeypatch.setattr(findings, "code_state", lambda: "other code")
    finding_of(check, artifacts)
    assert looks == [1, 1, 1]
    path = artifacts("captions").path / "captions.parquet"
    os.utime(path, ns=(1, 1))
    finding_of(check, artifacts)
    assert looks == [1, 1, 1, 1]


def test_code_that_has_just_been_edited_keeps_nothing(
    hand_written: HandWritten, looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "code_state", lambda: None)
    for _ in range(2):
        finding_of(counting(looks), RecipeArtifacts("test", hand_written.store))
    assert looks == [1, 1] and not list(Path(hand_written.store.root).rglob("findings"))
