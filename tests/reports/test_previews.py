"""A report in small: the headline as Markdown, examples as one picture, what changed since the one before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from spn4cir_core.images.files import ImageFiles
from spn4cir_core.reports.previews import Example, compared_with_before, example_sheet
from spn4cir_core.reports.stage import EVAL_REPORT
from spn4cir_core.reports.thumbnails import Thumbnails
from spn4cir_core.store.artifacts import Artifact, Store
from tests.measured_store import EVIL, NAME, measured_store, recipe, weigh


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("previewed")


@pytest.fixture(scope="module")
def store(root: Path) -> Store:
    return measured_store(root)


@pytest.fixture(scope="module")
def made(root: Path, store: Store) -> Artifact:
    return EVAL_REPORT.run(recipe(root / "pictures"), store)[0]


def test_the_headline_is_a_short_table(made: Artifact) -> None:
    text = made.file("headline.md").read_text(encoding="utf-8")
    said = json.loads(made.file("report.json").read_text(encoding="utf-8"))
    assert text.startswith(f"**{said['headline']['title']}**")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + 7  # four models, and what the blend answers to one modality alone or their sum
    (first,) = [
        row["recall"]
        for row in made.table("recall.parquet").to_pylist()
        if (row["query_set"], row["kind"], row["model"], row["query"], row["k"])
        == ("annotated", "all", "blend", "composed", 1)
    ]
    assert f"| Blend of channels, picture + text | {100 * first:.1f} (" in text
    assert len(text) < 2500


def test_examples_are_a_small_picture(made: Artifact) -> None:
    with Image.open(made.file("examples.jpg")) as opened:
        assert opened.format == "JPEG" and opened.width < 800
    assert made.file("examples.jpg").stat().st_size < 100_000


def test_a_sheet_marks_what_is_right_and_lasts_without_its_pictures(root: Path) -> None:
    paths = {name: name for name in ("toys/00.png", "toys/01.png")}
    thumbnails = Thumbnails(ImageFiles(root / "pictures"), paths)
    right, wrong = (
        example_sheet([Example("x", "toys/00.png", ["toys/01.png"], frozenset(marked))], thumbnails)
        for marked in (["toys/01.png"], [])
    )
    assert right is not None and wrong is not None and right.tobytes() != wrong.tobytes()
    assert example_sheet([Example(EVIL, "gone.png", [], frozenset())], thumbnails) is not None
    assert example_sheet([], thumbnails) is None


def test_a_report_is_compared_with_the_one_before_it(root: Path, store: Store, made: Artifact) -> None:
    files = ImageFiles(root / "pictures")
    assert compared_with_before(NAME, store, files) is None
    weigh(store, picture=1.0)
    EVAL_REPORT.run(recipe(root / "pictures"), store)
    compared = compared_with_before(NAME, store, files)
    assert compared is not None and "| minus before |" in compared.markdown and compared.picture is not None
    other = recipe(root / "pictures", evaluators=[{"kind": "labels", "label": "label", "colour": "colour"}])
    EVAL_REPORT.run(other, store)
    assert compared_with_before(NAME, store, files) is not None


def test_a_report_of_an_older_version_is_told_apart(root: Path, store: Store, made: Artifact) -> None:
    provenance = {"stage": "eval_report", "version": 1, "settings": {}, "outside": None, "parents": {}}
    with store.writing("eval_report", "older", provenance) as draft:
        draft.write_json({"query_sets": [{"name": "annotated", "queries": 3}]}, "report.json")
    older = store.get("eval_report", "older")
    assert older is not None
    store.point("aged", older)
    store.point("aged", made)
    compared = compared_with_before("aged", store, ImageFiles(root / "pictures"))
    assert compared is not None and "older version" in compared.markdown and compared.picture is None
