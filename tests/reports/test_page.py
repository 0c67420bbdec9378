"""What of the numbers a page shows, and how Markdown escapes what users wrote."""

from __future__ import annotations

import re
from typing import Any

import pytest

from spn4cir_core.reports.page import render, without_trivial


def query_set(gallery: int, ks: list[int], queries: int = 3) -> dict[str, Any]:
    rows = [{"k": k, "model": "stage2"} for k in ks]
    return {
        **{"gallery": gallery, "ks": ks, "queries": queries, "protocol": "All."},
        **{name: list(rows) for name in ("recall", "differences", "composition", "gallery_sizes", "wordings")},
    }


@pytest.mark.parametrize(
    ("gallery", "ks", "shown"),
    [
        (100, [1, 5, 10, 50], [1, 5, 10, 50]),
        (99, [1, 5, 10, 50], [1, 5, 10]),
        (12, [1, 5, 10, 50], [1, 5]),
        (3, [5, 10], [5]),
        (0, [1, 50], [1]),
    ],
)
def test_a_k_of_more_than_half_of_the_gallery_is_left_out_and_said(
    gallery: int, ks: list[int], shown: list[int]
) -> None:
    pruned = without_trivial(query_set(gallery, ks))
    assert pruned["ks"] == shown
    for name in ("recall", "differences", "composition", "gallery_sizes", "wordings"):
        assert [row["k"] for row in pruned[name]] == shown
    assert [int(k) for k in re.findall(r"recall@(\d+)", pruned["protocol"])] == [k for k in ks if k not in shown]


def test_measures_of_a_reranker_are_left_out_alike() -> None:
    measures = [{"name": name} for name in ("R@1", "R@5", "R@50", "mAP@10")]
    pruned = without_trivial({**query_set(12, [1, 5, 50]), "reranking": {"top": 9, "measures": measures}})
    assert [row["name"] for row in pruned["reranking"]["measures"]] == ["R@1", "R@5", "mAP@10"]
    assert pruned["reranking"]["top"] == 9 and len(measures) == 4


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ('Tom & Jerry\'s "best" > rest', 'Tom & Jerry\'s "best" > rest'),
        ("<script>", r"\<script>"),
        ("a &lt; b &#39; c", r"a \&lt; b \&#39; c"),
        ("a|b", r"a\|b"),
        ("[x](y)", r"\[x\](y)"),
        ("back\\slash\nline", r"back\\slash line"),
    ],
)
def test_markdown_has_words_as_they_are_and_no_markup_of_theirs(value: str, written: str) -> None:
    headline = {"title": value, "caution": "", "sentences": []}
    assert render("headline_markdown.jinja", {"headline": headline, "set": None, "lines": []}) == f"**{written}**\n"
