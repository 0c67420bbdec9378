"""The last lines of a run: samples, the recall, and what looks wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from spn4cir_core.cli.app import app
from spn4cir_core.cli.outcome import dropped_files, outcome, write_triplet_sheet
from spn4cir_core.store.artifacts import Artifact, Store
from tests.measured_store import NAME, measured_store, recipe


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return measured_store(tmp_path_factory.mktemp("measured"))


def fake(noun: str, details: dict[str, Any]) -> Artifact:
    return Artifact(noun, Path(), {"details": details, "rows": 1})


def test_samples_of_captions_and_triplets_and_a_sheet(store: Store, tmp_path: Path) -> None:
    triplets = store.current(NAME, "triplets")
    assert triplets is not None
    captions = fake("captions", {"sample": [{"image_id": "a.png", "caption": "a shoe"}] * 9, "notes": ["all the same"]})
    lines = list(outcome({"captions": captions, "triplets": triplets}))
    assert lines[:5] == ["caption: a.png: a shoe"] * 5
    assert lines[5] == "warning: captions: all the same"
    assert sum(line.startswith("triplet: toys/") for line in lines) == 5
    made = recipe(store.root.parent / "pictures")
    assert write_triplet_sheet(made, store, triplets, tmp_path / "deep" / "sheet.jpg")
    with Image.open(tmp_path / "deep" / "sheet.jpg") as sheet:
        assert min(sheet.size) > 100


@pytest.mark.parametrize(
    ("sources", "warned"),
    [({"tags": 3}, True), ({"tags": 2, "title": 1}, True), ({"title": 2, "tags": 2}, False), ({}, False)],
)
def test_captions_that_are_mostly_tags_are_warned_of(sources: dict[str, int], warned: bool) -> None:
    lines = outcome({"captions": fake("captions", {"sample": [], "sources": sources})})
    assert any("are tags" in line for line in lines) is warned


def test_gates_that_refuse_most_are_warned_of(store: Store) -> None:
    triplets = store.current(NAME, "triplets")
    assert triplets is not None
    refusing = {"refused_by_reason": {"too easy": {"count": 10**6}, "odd": {"count": 1}}}
    few = Artifact("triplets", triplets.path, {**triplets.summary, "details": refusing})
    assert any("'too easy'" in line and "refused 1,000,0" in line for line in outcome({"triplets": few}))
    assert not any("refused" in line for line in outcome({"triplets": triplets}))


@pytest.mark.parametrize(
    ("headline", "says"),
    [
        ({"query_set": "annotated", "sentences": ["recall@1 is 36 %."], "caution": ""}, ["recall:  recall@1 is 36 %."]),
        ({"query_set": "a", "sentences": ["x"], "caution": "generated"}, ["recall:  x", "warning: generated"]),
        (
            {"query_set": None, "sentences": ["No evaluator found a query."]},
            ["recall:  none: No evaluator found a query."],
        ),
        ({}, ["recall:  none: nothing was measured"]),
    ],
)
def test_the_recall_or_why_there_is_none(headline: dict[str, Any], says: list[str]) -> None:
    assert list(outcome({"eval_report": fake("eval_report", {"headline": headline})})) == says


def test_the_first_dropped_files_are_named_and_the_rest_is_counted() -> None:
    examples = [{"path": f"{number}.png", "reason": "too small", "detail": "4 x 4"} for number in range(10)]
    lines = list(dropped_files({"drop_examples": examples, "dropped": 12, "not_read": {".pdf": 3, ".mp4": 1}}, 5))
    assert lines[0] == "dropped: 0.png: too small (4 x 4)"
    assert lines[5:] == ["dropped: 7 more; all of them with: spn4cir images --dropped", "no pictures: 3 .pdf, 1 .mp4"]
    assert list(dropped_files({}, 5)) == []


def test_every_file_that_is_not_used_is_listed(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, shade in (("a.png", 10), ("copy.png", 10), ("b.png", 90)):
        Image.new("RGB", (20, 20), (shade, 0, 0)).save(folder / name)
    Image.new("RGB", (2, 2)).save(folder / "small.png")
    (folder / "broken.png").write_bytes(b"no picture")
    words = ["--images", str(folder), "--store", str(tmp_path / "store")]
    assert CliRunner().invoke(app, ["run", "--select", "images", *words]).exit_code == 0
    done = CliRunner().invoke(app, ["images", "--dropped", *words])
    assert [line.split("\t")[:2] for line in done.stdout.splitlines()] == [
        ["broken.png", "not a picture"],
        ["small.png", "too small"],
        ["copy.png", "exact duplicate"],
    ]
    assert "5 files, 2 pictures, 1 duplicates" in CliRunner().invoke(app, ["images", *words]).stdout
