from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from spn4cir_core.reports.plots import (
    POINTS,
    SERIES,
    WIDE_LABEL,
    compared_curves,
    recall_by_kind,
    recall_over_k,
    training_curves,
)

NAMES = {name: f"name of {name}" for name in SERIES}
METRICS = {
    "stage1": [
        {"step": step, "loss": 5.0 / step, "learning_rate": 0.1, "temperature": 0.05} for step in range(1, 2000)
    ],
    "stage2": [{"step": step, "loss": float("nan")} for step in range(1, 5)],
}
ROWS = [
    {"kind": kind, "model": model, "query": mode, "k": k, "recall": k / 20, "low": k / 30, "high": k / 15}
    for kind in ("a < b $x$", "shape")
    for model in ("stage1", "control", "stage2")
    for mode in ("composed", "image", "text", "sum")
    for k in (1, 5, 10)
]


def plots() -> dict[str, str]:
    one_kind = [row for row in ROWS if row["kind"] == "shape"]
    return {
        "curves": training_curves(METRICS, NAMES)["loss"],
        "recall": recall_over_k(one_kind, NAMES),
        "kinds": recall_by_kind(ROWS, 5, NAMES),
    }


@pytest.mark.parametrize("name", ["curves", "recall", "kinds"])
def test_plots_are_inline_svg_in_the_colours_of_the_page(name: str) -> None:
    svg = plots()[name]
    xlink = svg.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1)
    assert ElementTree.fromstring(xlink).tag == "svg"
    assert "currentColor" in svg
    assert "var(--stage2)" in svg or name == "curves"
    assert not re.search(r"#0102", svg)
    assert "metadata" not in svg
    assert svg == plots()[name]


def test_long_trainings_are_thinned() -> None:
    jagged = [{"step": step, "loss": step * step % 101} for step in range(5000)]
    longest = max(re.findall(r' d="([^"]*)"', training_curves({"stage1": jagged}, NAMES)["loss"]), key=len)
    assert POINTS / 3 < longest.count("L") <= POINTS


def test_kinds_are_written_as_they_are() -> None:
    assert "a &lt; b $x$" in plots()["kinds"]


def test_nothing_logged_gives_no_plot() -> None:
    assert training_curves({"stage1": []}, NAMES) == {}


def test_what_was_logged_is_plotted_sparse_points_marked() -> None:
    lines = [{"step": step, "loss": 1.0, "gradient_norm": None, "temperature": None} for step in range(200)]
    lines[99]["validation_recall_at_5"], lines[199]["validation_recall_at_5"] = 0.2, 0.4
    made = training_curves({"stage1": lines, "stage2": lines}, NAMES)
    assert list(made) == ["loss", "recall@5 on validation queries"]
    assert made["recall@5 on validation queries"].count("<use") > made["loss"].count("<use")


def test_plots_fit_a_phone() -> None:
    for svg in plots().values():
        width = float(re.findall(r'viewBox="0 0 ([0-9.]+) ', svg)[0])
        assert width < 340


def test_long_labels_are_cut_in_their_middle() -> None:
    label = "a run with a very long name that ends in its store at /some/where/else"
    svg = compared_curves([{"label": label, "ks": [1, 5], "recall": [0.1, 0.2]}])
    shown = next(text for text in re.findall(r">([^<]+)</text>", svg) if text.startswith("a run"))
    assert len(shown) <= WIDE_LABEL and "…" in shown and shown.endswith("/else")
