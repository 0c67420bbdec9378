from __future__ import annotations

from typing import Any

import pytest

from spn4cir_core.reports.benchmark_tables import benchmark_tables


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
    (table,) = benchmark_tables([measured("fashioniq original kept", recall)], {"stage2": "Stage 2"})
    *published, ours = table["rows"]
    assert all(row["published"] and len(row["values"]) == len(table["columns"]) for row in published)
    assert ours["name"] == "Stage 2, reference kept" and not ours["published"]
    assert ours["values"] == pytest.approx([10, 90, 20, 90, 60, 90, 30, 90, 60])


def test_published_means_are_those_of_their_rows() -> None:
    recall = {(category, k): 0.5 for category in ("dress", "shirt", "toptee") for k in (10, 50)}
    (table,) = benchmark_tables([measured("fashioniq original kept", recall)], {"stage2": "Stage 2"})
    for row in table["rows"]:
        values = row["values"]
        printed_wrong = row["name"] == "SPRC"  # the paper's own mean R@10 is not the mean of its columns
        assert printed_wrong or sum(values[0:6:2]) / 3 == pytest.approx(values[6], abs=0.02), row["name"]
        assert sum(values[1:6:2]) / 3 == pytest.approx(values[7], abs=0.02), row["name"]
        assert printed_wrong or (values[6] + values[7]) / 2 == pytest.approx(values[8], abs=0.02), row["name"]


def test_cirr_needs_both_sets() -> None:
    whole = measured("cirr", {("all", k): k / 100 for k in (1, 5, 10, 50)})
    subset = measured("cirr subset", {("all", k): k / 10 for k in (1, 2, 3)})
    names = {"stage1": "Stage 1", "stage2": "Stage 2"}
    assert benchmark_tables([whole], names) == []
    (table,) = benchmark_tables([whole, subset], names)
    assert [row["name"] for row in table["rows"] if not row["published"]] == ["Stage 2, validation"]
    assert table["rows"][-1]["values"] == pytest.approx([1, 5, 10, 50, 10, 20, 30, 7.5])


def test_other_corpora_have_no_table() -> None:
    assert benchmark_tables([measured("annotated", {("all", 1): 0.5})], {"stage2": "Stage 2"}) == []
