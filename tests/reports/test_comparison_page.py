"""Several reports on the measured store, compared: numbers by hand, faults told, one page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spn4cir_core.errors import InputError
from spn4cir_core.evaluation.comparison import Run, compared_sets, unlike
from spn4cir_core.evaluation.comparison import comparison as contents_of
from spn4cir_core.evaluation.report_tables import QUERIES, QUERIES_FILE, read_rows_of_set
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.reports.comparison_page import comparison_html, comparison_markdown, parent_of, run_comparison
from spn4cir_core.reports.stage import EVAL_REPORT
from spn4cir_core.store.artifacts import Artifact, Store
from tests.measured_store import image_rows, measured_store, recipe, write_checkpoint
from tests.reports.test_stage import Page


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Reports of three networks, the current ones of recipes first, second and third; other: fewer queries."""
    root = tmp_path_factory.mktemp("compared")
    made = measured_store(root)
    for number, name in enumerate(("first", "second", "third")):
        if number:
            write_checkpoint(made, "stage2_checkpoint", seed=20 + number)
        kinds = [{"kind": kind} for kind in (("labels",) if name == "third" else ("annotated", "labels"))]
        made.point(name, EVAL_REPORT.run(recipe(root / "pictures", evaluators=kinds, gallery_pictures=0), made)[0])
    few = recipe(root / "pictures", evaluators=[{"kind": "labels", "max_queries": 5}], gallery_pictures=0)
    made.point("other", EVAL_REPORT.run(few, made)[0])
    return made


def run(store: Store, name: str, label: str = "") -> Run:
    report = store.current(name, "eval_report")
    assert report is not None
    return Run(label or name, name, report)


def ranks(report: Artifact, query_set: str) -> dict[str, int]:
    wanted = {"query_set": query_set, "model": "stage2", "query": "composed"}
    rows = report.table("ranks.parquet").to_pylist()
    return {row["query_id"]: row["rank"] for row in rows if all(row[key] == value for key, value in wanted.items())}


@pytest.fixture(scope="module")
def said(store: Store) -> dict[str, Any]:
    return run_comparison([run(store, "first"), run(store, "second")], "stage2", "", 200, 0)


def test_numbers_equal_counts_by_hand(store: Store, said: dict[str, Any]) -> None:
    assert [query_set["name"] for query_set in said["query_sets"]] == ["annotated", "labels"]
    for query_set in said["query_sets"]:
        first, second = (ranks(run(store, name).report, query_set["name"]) for name in ("first", "second"))
        assert not query_set["unlike"]
        for row, answered in zip(query_set["rows"], (first, second), strict=True):
            for k, cell in zip(query_set["ks"], row["cells"], strict=False):
                assert cell["value"] == pytest.approx(np.mean([rank < k for rank in answered.values()]))
                assert cell["low"] <= cell["value"] <= cell["high"]
        for row in query_set["differences"]:
            k = row["k"]
            assert row["won"] == sum(second[name] < k <= first[name] for name in first)
            assert row["lost"] == sum(first[name] < k <= second[name] for name in first)
            assert row["difference"] == pytest.approx((row["won"] - row["lost"]) / len(first))
            assert 0 < row["p"] <= 1
        for group in query_set["changed"]:
            for one in group["queries"]:
                before, after = first[one["query"]["query_id"]], second[one["query"]["query_id"]]
                assert [answer["rank"] for answer in one["answers"]] == [before, after]
                assert (before < query_set["wide"]) != (after < query_set["wide"])
    assert any(query_set["changed"] for query_set in said["query_sets"])


def test_a_run_against_itself_differs_in_nothing(store: Store) -> None:
    same = run_comparison([run(store, "first", "a"), run(store, "first", "b")], "stage2", "annotated", 100, 0)
    (query_set,) = same["query_sets"]
    assert {(row["difference"], row["p"]) for row in query_set["differences"]} == {(0.0, 1.0)}
    assert query_set["changed"] == []


def test_the_title_is_the_result_and_markdown_has_no_entities(store: Store) -> None:
    runs = [run(store, "first", "Ann's"), run(store, "second", "b")]
    comparison = run_comparison(runs, "stage2", "annotated", 100, 0)
    gain = comparison["query_sets"][0]["differences"][0]
    points, low, high = (f"{100 * gain[name]:+.1f}".replace("-", "−") for name in ("difference", "low", "high"))
    points = f"{points} points of R@1 ({low} to {high})"
    assert comparison["title"] == f"b against Ann's: {points}"
    assert comparison_markdown(comparison).startswith(f"# b against Ann's: {points}\n")
    assert f"<h1>b against Ann&#39;s: {points}</h1>" in comparison_html(comparison, None, {})
    three = run_comparison([*runs, run(store, "first", "c")], "stage2", "annotated", 100, 0)["title"]
    assert three.startswith("R@1: Ann's ") and three.count(" %") == 3
    other = run_comparison([run(store, "third"), run(store, "other")], "stage2", "", 100, 0)
    assert other["title"] == "These runs were not asked the same"


def test_runs_of_one_label_are_seeds(store: Store) -> None:
    runs = [run(store, "first", "a"), run(store, "second", "b"), run(store, "third", "b")]
    (query_set,) = run_comparison(runs, "stage2", "labels", 200, 0)["query_sets"]
    assert [row["label"] for row in query_set["rows"]] == ["a", "b"]
    cell = query_set["rows"][1]["cells"][1]
    each = [np.mean([rank < 5 for rank in ranks(one.report, "labels").values()]) for one in runs[1:]]
    assert cell["value"] == pytest.approx(np.mean(each))
    assert cell["deviation"] == pytest.approx(np.std(each, ddof=1))
    assert query_set["rows"][0]["cells"][1]["deviation"] is None


def test_what_differs_is_told_and_nothing_is_paired(store: Store) -> None:
    runs = [run(store, "third"), run(store, "other")]
    (compared,) = compared_sets(runs, "stage2")
    assert len(compared.unlike) == 1 and "queries were asked of one only" in compared.unlike[0]
    comparison = run_comparison(runs, "stage2", "", 100, 0)
    assert comparison["query_sets"][0]["differences"] == [] == comparison["query_sets"][0]["changed"]
    assert [row["label"] for row in comparison["query_sets"][0]["rows"]] == ["third"], "none beside it"
    page = comparison_html(comparison, None, {})
    assert "cannot be compared" in page and "cannot be compared" in comparison_markdown(comparison)
    with pytest.raises(InputError, match="share a query set"):
        compared_sets(runs, "stage2", "annotated")
    with pytest.raises(InputError, match="no model 'stage3'"):
        compared_sets(runs, "stage3")


def test_a_report_of_an_older_version_is_told(store: Store) -> None:
    new, old = run(store, "first"), run(store, "second")
    files = {name: said for name, said in old.report.summary["files"].items() if name != "hits.parquet"}
    old = replace(old, report=replace(old.report, summary={**old.report.summary, "files": files}))
    with pytest.raises(InputError, match=r"has no hits\.parquet; write it anew"):
        compared_sets([new, old], "stage2")


def test_other_galleries_and_other_texts_are_told(store: Store) -> None:
    (compared, *_) = compared_sets([run(store, "first"), run(store, "second")], "stage2")
    (first,), (second,) = compared.by_label.values()
    gallery = replace(second, about={**second.about, "gallery_fingerprint": "other"})
    assert ["other galleries" in reason for reason in unlike([first, gallery])] == [True]
    texts = replace(second, queries=[{**second.queries[0], "modified_text": "x"}, *second.queries[1:]])
    assert ["1 queries of one id have another" in reason for reason in unlike([first, texts])] == [True]
    assert list(unlike([first, second])) == []


def test_page_is_one_escaped_file_with_pictures(store: Store, said: dict[str, Any]) -> None:
    captions = parent_of(run(store, "first"), "captions", store)
    assert captions is not None
    table = captions.table().to_pydict()
    caption_of = dict(zip(table["image_id"], table["caption"], strict=True))
    text = comparison_html(said, ImageFiles(store.root.parent / "pictures"), caption_of)
    page = Page(text)
    loaded = [value for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href")]
    assert all(str(value).startswith(("data:image/jpeg;base64,", "#")) for value in loaded)
    pictures = [attrs for tag, attrs in page.tags if tag == "img"]
    assert pictures and all(attrs.get("alt") for attrs in pictures)
    assert "<script" not in text and not re.search(r"(?<!\\)<script", comparison_markdown(said))
    assert "prefers-color-scheme: dark" in text
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert text == comparison_html(said, ImageFiles(store.root.parent / "pictures"), caption_of)


def test_names_of_the_contract(store: Store) -> None:
    report = run(store, "first").report
    assert report.table("hits.parquet").schema.names == ["query_set", "query_id", "model", "image_ids"]
    rows = report.table("queries.parquet").to_pylist()
    assert {row["query_id"] for row in rows if row["query_set"] == "annotated"} == set(ranks(report, "annotated"))


def test_pictures_that_are_gone_are_told_by_their_captions(said: dict[str, Any], tmp_path: Path) -> None:
    page = comparison_html(said, ImageFiles(tmp_path), {})
    assert "picture not found" in page and "<img" not in page
    everything = {row["image_id"]: "a hat & <b>" for row in image_rows()}
    page = comparison_html(said, ImageFiles(tmp_path), everything)
    assert ">a hat &amp; &lt;b&gt;</div>" in page and "picture not found" not in page


def test_queries_count_by_their_weight(store: Store) -> None:
    (compared, *_) = compared_sets([run(store, "first"), run(store, "second")], "stage2")
    weights = 1.0 + np.arange(len(compared.by_label["first"][0].queries)) % 3
    weighted = {
        label: [replace(one, queries=[{**row, "weight": w} for row, w in zip(one.queries, weights, strict=True)])]
        for label, (one,) in compared.by_label.items()
    }
    page = contents_of(replace(compared, by_label=weighted), 50, 0)
    first, second = (one.ranks["composed"] for (one,) in compared.by_label.values())
    for k, cell in zip(page["ks"], page["rows"][0]["cells"], strict=False):
        assert cell["value"] == pytest.approx(np.average(first < k, weights=weights))
    for row in page["differences"]:
        hits = (second < row["k"]).astype(float) - (first < row["k"])
        assert row["difference"] == pytest.approx(np.average(hits, weights=weights))
        assert row["low"] <= row["difference"] <= row["high"]


def test_in_a_report_from_before_each_query_counts_once(tmp_path: Path) -> None:
    older = Store(tmp_path)
    with older.writing("eval_report", "abc", {}) as draft:
        names = QUERIES.remove(QUERIES.get_field_index("weight"))
        row = dict.fromkeys(names.names, "x") | {"query_set": "annotated", "target_ids": ["y"]}
        draft.write_table(pa.Table.from_pylist([row], names), QUERIES_FILE)
    report = older.get("eval_report", "abc")
    assert report is not None
    assert read_rows_of_set(report, QUERIES_FILE, "annotated") == [row | {"weight": 1.0}]
