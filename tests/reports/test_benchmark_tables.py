from __future__ import annotations

from typing import Any

import pytest

from spn4cir_core.evaluation.settings import EvaluationSettings
from spn4cir_core.reports.benchmark_tables import benchmark_tables

OURS = EvaluationSettings()


def measured(name: str, recall: dict[tuple[str, int], float]) -> dict[str, Any]:
    rows = [
        {"query_set": name, "kind": kind, "model": "stage2", "query": query, "k": k, "recall": value}
        for (kind, k), value in recall.items()
        for query in ("composed", "text")
    ]
    return {"name": name, "recall": rows}


def test_fashioniq_means_count_each_category_once() -> None:
    recall = {("dress", 10): 0.1, ("shirt", 10): 0.2, ("toptee", 10): 0.6}
    recall |= {(category, 50): 0.9 for category, _ in recall}
    (table,) = benchmark_tables([measured("fashioniq original kept", recall)], {"stage2": "Stage 2"}, OURS)
    with_reference, removed = table["groups"]  # nothing was published or measured on the union gallery
    assert "kept" in with_reference["protocol"] and "removed" in removed["protocol"]
    *published, ours = with_reference["rows"]
    assert {"SPRC", "BLIP4CIR + SPN"} <= {row["name"] for row in published}
    assert {row["name"] for row in removed["rows"]} == {"CLIP4CIR (sum)", "CLIP4CIR + SPN"}
    assert all(row["published"] and len(row["values"]) == len(table["columns"]) for row in published + removed["rows"])
    assert ours["name"] == "Stage 2" and not ours["published"]
    assert ours["values"] == pytest.approx([10, 90, 20, 90, 60, 90, 30, 90, 60])


def test_all_four_corners_stand_in_one_table() -> None:
    recall = {(category, k): 0.5 for category in ("dress", "shirt", "toptee") for k in (10, 50)}
    corners = [f"fashioniq {gallery} {fate}" for gallery in ("original", "union") for fate in ("kept", "removed")]
    (table,) = benchmark_tables([measured(name, recall) for name in corners], {"stage2": "Stage 2"}, OURS)
    assert [[row["name"] for row in group["rows"] if not row["published"]] for group in table["groups"]] == [
        ["Stage 2"]
    ] * 4
    assert [group["protocol"] for group in table["groups"] if "default" in group["protocol"]] == [
        table["groups"][0]["protocol"]
    ]


def test_published_means_are_those_of_their_rows() -> None:
    recall = {(category, k): 0.5 for category in ("dress", "shirt", "toptee") for k in (10, 50)}
    (table,) = benchmark_tables([measured("fashioniq original kept", recall)], {"stage2": "Stage 2"}, OURS)
    rows = [row for group in table["groups"] for row in group["rows"]]
    assert len(rows) == 13
    for row in rows:
        values = row["values"]
        printed_wrong = row["name"] == "SPRC"  # the paper's own mean R@10 is not the mean of its columns
        assert printed_wrong or sum(values[0:6:2]) / 3 == pytest.approx(values[6], abs=0.02), row["name"]
        assert sum(values[1:6:2]) / 3 == pytest.approx(values[7], abs=0.02), row["name"]
        assert printed_wrong or (values[6] + values[7]) / 2 == pytest.approx(values[8], abs=0.02), row["name"]


def test_cirr_needs_both_sets() -> None:
    whole = measured("cirr", {("all", k): k / 100 for k in (1, 5, 10, 50)})
    subset = measured("cirr subset", {("all", k): k / 10 for k in (1, 2, 3)})
    names = {"stage1": "Stage 1", "stage2": "Stage 2"}
    assert benchmark_tables([whole], names, OURS) == []
    (table,) = benchmark_tables([whole, subset], names, OURS)
    ours, theirs = table["groups"]  # test1 and validation are never in one group
    assert "validation" in ours["protocol"] and "test1" in theirs["protocol"]
    assert [row["name"] for row in ours["rows"]] == ["Stage 2"]
    assert ours["rows"][0]["values"] == pytest.approx([1, 5, 10, 50, 10, 20, 30, 7.5])
    assert all(row["published"] for row in theirs["rows"])


def test_other_corpora_have_no_table() -> None:
    assert benchmark_tables([measured("annotated", {("all", 1): 0.5})], {"stage2": "Stage 2"}, OURS) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (OURS, "Our settings are our own."),
        (EvaluationSettings(published="fashioniq_tgcir"), "the published ones, as the recipe fashioniq_tgcir has them"),
        (
            EvaluationSettings(published="fashioniq", differences=("pairs.window", "triplets.gates")),
            "are not the published ones: they differ from the recipe fashioniq in pairs.window, triplets.gates.",
        ),
    ],
)
def test_the_note_says_whether_settings_are_the_published_ones(settings: EvaluationSettings, words: str) -> None:
    recall = {(category, k): 0.5 for category in ("dress", "shirt", "toptee") for k in (10, 50)}
    (table,) = benchmark_tables([measured("fashioniq original kept", recall)], {"stage2": "Stage 2"}, settings)
    assert words in table["note"]
