from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from spn4cir_core.ablation.grid import Result
from spn4cir_core.ablation.table import GAIN, comma_separated, estimate, markdown, picture, rows_of, write_tables


def result(level: str, seed: int, stage1: float, control: float, stage2: float) -> Result:
    recall = {
        measure: (value, value - 3, value + 4)
        for measure, value in {"stage 1": stage1, "control": control, "stage 2": stage2}.items()
    }
    return Result({"negatives": level}, seed, f"ablate_{level}{seed}", "annotated", 200, recall)


BANK = [result("bank", 0, 30, 40, 50), result("bank", 1, 32, 44, 52), result("bank", 2, 34, 42, 54)]
FAILED = Result({"negatives": "x | y"}, 0, "ablate_x", error="no triplets\nat all")


def test_an_interval_over_seeds_is_students() -> None:
    results = estimate([10.0, 12.0, 14.0], (0.0, 1.0), (0.0, 100.0))
    half = 4.302653 * 2.0 / 3**0.5  # quantile 0.975 of t with two degrees of freedom, from a table
    assert (results.mean, results.least, results.most, results.deviation, results.seeds) == (12.0, 10.0, 14.0, 2.0, 3)
    assert (results.low, results.high) == pytest.approx((12.0 - half, 12.0 + half))


def test_an_interval_stays_within_what_is_possible() -> None:
    results = estimate([0.0, 90.0], (0.0, 1.0), (0.0, 100.0))
    assert (results.low, results.high) == (0.0, 100.0)


def test_one_seed_keeps_the_interval_over_queries() -> None:
    measures = rows_of(BANK[:1])[0].measures
    assert (measures["stage 2"].low, measures["stage 2"].high) == (47, 54)
    assert "one seed" in markdown(BANK[:1], 1) and "50.0 [47.0, 54.0] |" in markdown(BANK[:1], 1)
    assert markdown(BANK[:1], 1).splitlines()[-1].endswith("| +10.0 |")


def test_gains_are_taken_seed_by_seed() -> None:
    gain = rows_of(BANK)[0].measures[GAIN]
    assert (gain.mean, gain.least, gain.most) == (10.0, 8.0, 12.0)
    assert gain.deviation == 2.0


def test_markdown_has_a_row_for_each_combination_and_says_what_failed() -> None:
    lines = markdown([*BANK, FAILED], 5).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert lines[0].startswith("Recall@5 in per cent, 200 queries of annotated; mean of 3 seeds")
    assert len(table) == 4 and len({line.replace("\\|", "").count("|") for line in table}) == 1
    assert table[2].startswith("| bank | 32.0 [27.0, 37.0] (30.0 to 34.0) |")
    assert table[3].startswith("| x \\| y | – |")
    assert lines[-1] == "- x \\| y: no triplets at all"


def test_csv_and_json_hold_the_same_means(tmp_path: Path) -> None:
    write_tables([*BANK, FAILED], 1, tmp_path)
    lines = list(csv.DictReader(io.StringIO((tmp_path / "ablation.csv").read_text(encoding="utf-8"))))
    assert (tmp_path / "ablation.csv").read_text(encoding="utf-8") == comma_separated([*BANK, FAILED])
    means = {line["measure"]: float(line["mean"]) for line in lines if line["negatives"] == "bank"}
    results = json.loads((tmp_path / "ablation.json").read_text(encoding="utf-8"))
    assert {name: value["mean"] for name, value in results["rows"][0]["measures"].items()} == means
    assert means["stage 2"] == 52.0
    assert results["rows"][1] == {"levels": {"negatives": "x | y"}, "failed": 1, "measures": {}}
    assert [cell["recipe"] for cell in results["cells"]] == [one.recipe for one in (*BANK, FAILED)]


def test_the_picture_names_the_rows(tmp_path: Path) -> None:
    picture([*BANK, FAILED], 1, tmp_path / "ablation.svg")
    drawn = (tmp_path / "ablation.svg").read_text(encoding="utf-8")
    assert drawn.lstrip().startswith("<?xml") and "<!-- bank -->" in drawn and "<!-- stage 2 -->" in drawn
