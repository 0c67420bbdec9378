"""The report as one self-contained HTML page and as Markdown. Every dynamic string is escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from spn4cir_core.blend.measure_blend import ALONE, WITHOUT
from spn4cir_core.evaluation.encode import MODES
from spn4cir_core.evaluation.tables import ALL, COMPARED
from spn4cir_core.reports.contents import MODE_NAMES, Contents
from spn4cir_core.reports.plots import COLOURS, recall_by_kind, recall_over_gallery, recall_over_k, training_curves
from spn4cir_core.training.roles import BLEND, ROLES

LINE_NAMES = {
    **{name: f"{role.label}, picture + text" for name, role in ROLES.items()},
    "image": "picture only",
    "text": "text only",
    "sum": "sum of both",
}


TRIVIAL_PART = 2
"""Of a gallery not even so many times as large as k nearly every answer is among the first k."""
ROWS_BY_K = ("recall", "differences", "composition", "gallery_sizes", "searched", "wordings")
"""Tables of a query set with one row for each k."""


def html_page(
    contents: Contents, galleries: Mapping[str, Any], metrics: Mapping[str, Sequence[Mapping[str, Any]]]
) -> str:
    """The page. Styles, plots and pictures are inside it; it loads nothing.

    Args:
        contents: see ``contents.py``.
        galleries: ``retrieval`` (by query set), ``triplets`` and ``false_negatives``, see ``galleries.py``.
        metrics: what each training stage logged, by model.
    """
    contents = _with_telling_k(contents)
    names = {name: role.title for name, role in ROLES.items() if name in metrics}
    plots = {
        "training": training_curves(metrics, names),
        "recall": {row["name"]: recall_over_k(_of_all(row["recall"]), LINE_NAMES) for row in _answered(contents)},
        "sizes": {
            row["name"]: recall_over_gallery(row["gallery_sizes"], wide_k(row), LINE_NAMES)
            for row in _answered(contents)
        },
        "kinds": {
            row["name"]: recall_by_kind(_of_kinds(row["recall"]), wide_k(row), LINE_NAMES)
            for row in _answered(contents)
            if _of_kinds(row["recall"])
        },
    }
    return _render_report("page.jinja", contents, galleries=galleries, plots=plots)


def markdown_page(contents: Contents) -> str:
    """The numbers as Markdown, for pull requests."""
    return _render_report("page_markdown.jinja", _with_telling_k(contents))


def render(template: str, values: Mapping[str, Any]) -> str:
    """A template of this room: HTML escapes every value, Markdown those that pass the filter ``cell``."""
    import jinja2

    def source(name: str) -> str:
        return resources.files("spn4cir_core.reports").joinpath(name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        autoescape=not template.endswith("_markdown.jinja"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FunctionLoader(source),
    )
    environment.filters |= {"percent": _percent, "points": _points, "pretty": _pretty, "cell": _cell, "chance": _chance}
    environment.globals["colours"] = COLOURS
    return environment.get_template(template).render(**values).strip() + "\n"


def _render_report(template: str, contents: Contents, **more: Any) -> str:
    values = {
        "report": contents,
        "roles": ROLES,
        "compared": {row["name"]: compared_pairs(row) for row in _answered(contents)},
        "channels": {row["name"]: channel_table(row, contents["channels"]) for row in _answered(contents)},
        "by_kind": {row["name"]: kind_columns(row) for row in _answered(contents)},
        "tables": {row["name"]: recall_table(row) for row in _answered(contents)},
        "wide": {row["name"]: wide_k(row) for row in _answered(contents)},
        "sizes": {row["name"]: gallery_table(row) for row in _answered(contents)},
        **more,
    }
    return render(template, values)


def without_trivial(query_set: Mapping[str, Any]) -> dict[str, Any]:
    """A query set without the k that are more than half of its gallery; the first k stays in any case."""
    ks = [k for number, k in enumerate(query_set["ks"]) if not number or k * TRIVIAL_PART <= query_set["gallery"]]
    hidden = [k for k in query_set["ks"] if k not in ks]
    left_out = [f"recall@{k}" for k in hidden]
    says = f" Of {query_set['gallery']} pictures {' and '.join(left_out)} would say little, and are not shown."
    rows: dict[str, Any] = {
        name: [row for row in lines if row["k"] in ks]
        for name, lines in query_set.items()
        if name in ROWS_BY_K and query_set["queries"]
    }
    if "reranking" in query_set:
        measures = [row for row in query_set["reranking"]["measures"] if row["name"] not in {f"R@{k}" for k in hidden}]
        rows["reranking"] = {**query_set["reranking"], "measures": measures}
    return {**query_set, **rows, "ks": ks, "protocol": query_set["protocol"] + (says if left_out else "")}


def _with_telling_k(contents: Contents) -> Contents:
    return contents | {"query_sets": [without_trivial(row) for row in contents["query_sets"]]}


def recall_table(query_set: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One line per model and mode, best models first: recall at each k, then mean average precision."""
    recall = {(row["model"], row["query"], row["k"]): row for row in _of_all(query_set["recall"])}
    precision = {(row["model"], row["query"], row["k"]): row for row in _of_all(query_set["mean_average_precision"])}
    ks, map_ks = query_set["ks"], query_set["map_ks"]
    lines: list[dict[str, Any]] = []
    models = {row["model"] for row in query_set["recall"]}
    for model, role in reversed(ROLES.items()):
        for mode in MODES if model in models else ():
            cells = [recall[model, mode, k] | {"value": recall[model, mode, k]["recall"]} for k in ks]
            averages = [precision[model, mode, k] for k in map_ks]
            cells += [average | {"value": average["mean_average_precision"]} for average in averages]
            lines.append({"model": role.title, "mode": MODE_NAMES[mode], "cells": cells})
    for column in range(len(ks) + len(map_ks)):
        best = max(line["cells"][column]["value"] for line in lines)
        for line in lines:
            line["cells"][column]["best"] = line["cells"][column]["value"] == best
    return lines


def compared_pairs(query_set: Mapping[str, Any]) -> dict[str, tuple[tuple[str, str], tuple[str, str]]]:
    """Label → the two (model, mode) whose difference a line shows, of those that were asked."""
    measured = {(row["model"], row["query"]) for row in query_set["recall"]}
    return {
        f"{ROLES[one[0]].title} − {ROLES[other[0]].title}, {MODE_NAMES[other[1]]}": (one, other)
        for one, other in COMPARED
        if {one, other} <= measured
    }


def channel_table(query_set: Mapping[str, Any], channels: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One line per channel: its weight, its recall at each k alone, and that of the blend without it.

    Empty where the blend was not asked; no recall without a channel that has no part in the blend, or of one without
    scores.
    """
    rows = {(row["query"], row["k"]): row for row in _of_all(query_set["recall"]) if row["model"] == BLEND.name}
    return [
        {
            **channel,
            **{
                key: [rows[mode, k] for k in query_set["ks"] if (mode, k) in rows]
                for key, mode in (("alone", ALONE + channel["name"]), ("without", WITHOUT + channel["name"]))
            },
        }
        for channel in (channels if rows else ())
    ]


def kind_columns(query_set: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Column → (model, mode) of the table of recall per kind of modification."""
    served = ROLES[query_set["served"]]
    models = [served, *(ROLES[name] for name in served.compared_with[:1])]
    columns = {role.label: (role.name, "composed") for role in models}
    return {**columns, "picture only": (served.name, "image"), "text only": (served.name, "text")}


def gallery_table(query_set: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One line per gallery size: recall at each k of the served model's composed query."""
    rows = [
        row for row in query_set["gallery_sizes"] if (row["model"], row["query"]) == (query_set["served"], "composed")
    ]
    recall = {(row["gallery"], row["k"]): row["recall"] for row in rows}
    sizes = sorted({row["gallery"] for row in rows})
    return [{"gallery": size, "recall": [recall[size, k] for k in query_set["ks"]]} for size in sizes]


def _answered(contents: Contents) -> list[dict[str, Any]]:
    return [query_set for query_set in contents["query_sets"] if query_set["queries"]]


def _of_all(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["kind"] == ALL]


def _of_kinds(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["kind"] != ALL]


def wide_k(query_set: Mapping[str, Any]) -> int:
    """The k at which kinds are compared: the second one, where there are few queries of a kind."""
    ks: list[int] = query_set["ks"]
    return ks[min(1, len(ks) - 1)]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}".replace("-", "−")


def _chance(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True)


def _cell(value: object) -> str:
    """A string inside a Markdown table cell; it makes no link, no picture, no HTML tag and no entity."""
    return " ".join(re.sub(r"[|\[\]<\\]|&(?=#?\w+;)", r"\\\g<0>", str(value)).split())
