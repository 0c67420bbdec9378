"""``spn4cir judgements``: list, export, import."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from spn4cir_core.cli.app import app
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.judgements.judgement import Judgement, Purpose
from spn4cir_core.judgements.judgement_log import JudgementLog
from spn4cir_core.store.artifacts import Store

PURPOSES: dict[str, Purpose] = {
    **dict.fromkeys(("a.png", "b.png", "c.png"), "train"),
    **dict.fromkeys(("e.png", "f.png"), "evaluation"),
}
JUDGEMENTS = [
    Judgement(("a.png",), "but red", "b.png", "right", 0, (), "Ann"),
    Judgement(("a.png",), "but red", "b.png", "right", 0, (), "Bob"),
    Judgement(("a.png",), "but red", "c.png", "wrong", 1, (), "Ann"),
    Judgement(("a.png",), "but red", "c.png", "right", 1, (), "Bob"),
    Judgement(("e.png",), "but blue", "f.png", "right", 0, (), "Bob"),
]


@pytest.fixture
def log(tmp_path: Path) -> JudgementLog:
    own = JudgementLog(Store(tmp_path / "store"), "demo")
    own.add(JUDGEMENTS, PURPOSES)
    return own


def judgements(log: JudgementLog, *words: str) -> Result:
    options = ["--recipe", "demo", "--store", str(log.path.parent)]
    return CliRunner().invoke(app, ["judgements", *words, *options], catch_exceptions=False)


def test_the_list_counts_verdicts_and_shows_how_far_judges_agree(log: JudgementLog) -> None:
    lines = judgements(log, "list").output.splitlines()
    assert lines[1].split() == ["train", "1", "0", "1", "a.png:", "but", "red"]
    assert lines[2].split() == ["evaluation", "1", "0", "0", "e.png:", "but", "blue"]
    assert "5 judgements by 2 judges on 2 queries; 1 serves evaluation; 1 serves train" in lines
    assert lines[-1] == "agreement: Fleiss' kappa -0.33"
    assert "the last 1 of 2 queries" in judgements(log, "list", "--count", "1").output


def test_nothing_judged_is_an_empty_list(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    empty = JudgementLog(Store(tmp_path / "none"), "demo")
    assert "0 judgements by 0 judges on 0 queries" in judgements(empty, "list").output


@pytest.mark.parametrize("command", [["list"], ["export", "--out", "out"]])
def test_a_store_that_is_not_there_is_named(command: list[str], tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no store in .*gone; name one with --store"):
        judgements(JudgementLog(Store(tmp_path / "gone"), "demo"), *command)


def test_hits_of_another_split_are_listed_as_not_counted(tmp_path: Path) -> None:
    own = JudgementLog(Store(tmp_path / "store"), "demo")
    own.add([Judgement(("a.png",), "but red", "f.png", "wrong", 0, (), "Ann")], PURPOSES)
    lines = judgements(own, "list").output.splitlines()
    assert lines[1].split()[:4] == ["train", "0", "0", "0"]
    assert lines[2].startswith("not counted above: 1 hit of another split than the reference image")
    assert lines[4] == "1 judgement by 1 judge on 1 query; 1 serves train"


def test_export_writes_annotation_files_and_import_reads_all_of_them(log: JudgementLog, tmp_path: Path) -> None:
    judgements(log, "export", "--out", str(tmp_path / "out"))
    rows = {name: list(csv.DictReader((tmp_path / "out" / f"{name}.csv").open())) for name in ("queries", "triplets")}
    assert [(row["reference"], row["targets"]) for row in rows["queries"]] == [("e.png", "f.png")]
    assert [(row["reference"], row["target"]) for row in rows["triplets"]] == [("a.png", "b.png")]
    other = JudgementLog(Store(tmp_path / "other"), "demo")
    file = str(tmp_path / "out/judgements.csv")
    assert "5 of 5 judgements are new" in judgements(other, "import", file).output
    assert "0 of 5 judgements are new" in judgements(other, "import", file).output
    assert other.judgements() == JUDGEMENTS and other.purposes() == PURPOSES


def test_a_file_that_is_not_there_is_named(log: JudgementLog, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.csv cannot be read"):
        judgements(log, "import", str(tmp_path / "gone.csv"))
