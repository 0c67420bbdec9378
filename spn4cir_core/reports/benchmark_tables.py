"""Our figures on a benchmark beside the published ones, in the columns that papers use."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from statistics import fmean
from typing import Any

from spn4cir_core.evaluation.settings import EvaluationSettings
from spn4cir_core.evaluation.tables import ALL

CATEGORIES = ("dress", "shirt", "toptee")
Recall = Mapping[tuple[str, str, str, int], float]
"""(query set, kind, model, k) → recall of the composed query, in per cent."""


def about_settings(settings: EvaluationSettings) -> str:
    """Whether our rows are of the published settings, and if not, in what they differ."""
    if not settings.published:
        return "Our settings are our own."
    if not settings.differences:
        return f"Our settings are the published ones, as the recipe {settings.published} has them."
    return (
        f"Our settings are not the published ones: they differ from the recipe {settings.published} in "
        f"{', '.join(settings.differences)}."
    )


def benchmark_tables(
    sets: Sequence[Mapping[str, Any]], model_names: Mapping[str, str], settings: EvaluationSettings
) -> list[dict[str, Any]]:
    """One table per benchmark that was asked: title, note, columns, and groups of rows of one ``protocol`` each.

    A row has ``name``, ``published`` and ``values``. A protocol that neither the papers nor this run used is left out.

    Args:
        sets: the query sets of a report, see ``contents.py``.
        model_names: model → the name a reader knows it by, in the order of the rows.
        settings: say which published settings the recipe has, if any; the note names them.
    """
    recall = {
        (row["query_set"], row["kind"], row["model"], row["k"]): 100 * row["recall"]
        for query_set in sets
        for row in query_set["recall"]
        if row["query"] == "composed"
    }
    text = resources.files("spn4cir_core.reports").joinpath("published.toml").read_text(encoding="utf-8")
    published = tomllib.loads(text)
    tables = []
    for benchmark, ours in (("fashioniq", _fashioniq(recall, model_names)), ("cirr", _cirr(recall, model_names))):
        if any(ours.values()):
            table = published[benchmark]
            groups = [
                {"protocol": protocol, "rows": _published(table["rows"].get(name, {})) + ours.get(name, [])}
                for name, protocol in table["protocols"].items()
            ]
            with_rows = [group for group in groups if group["rows"]]
            note = f"{table['note']} {about_settings(settings)}"
            tables.append({key: table[key] for key in ("title", "columns")} | {"note": note, "groups": with_rows})
    return tables


def _fashioniq(recall: Recall, model_names: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Rows by protocol. Means are over the categories, each counted once, as published."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for protocol in (f"{gallery} {fate}" for gallery in ("original", "union") for fate in ("kept", "removed")):
        for model, name in model_names.items():
            keys = [(f"fashioniq {protocol}", category, model, k) for category in CATEGORIES for k in (10, 50)]
            if recall.keys() >= set(keys):
                columns = [recall[key] for key in keys]
                means = [fmean(columns[0::2]), fmean(columns[1::2])]
                rows.setdefault(protocol, []).append(_ours(name, [*columns, *means, fmean(means)]))
    return rows


def _cirr(recall: Recall, model_names: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Rows of the validation split. Rmean is the mean of R@5 and subset R@1, as published."""
    rows = []
    for model, name in model_names.items():
        whole = [recall.get(("cirr", ALL, model, k)) for k in (1, 5, 10, 50)]
        subset = [recall.get(("cirr subset", ALL, model, k)) for k in (1, 2, 3)]
        if whole[1] is not None and subset[0] is not None:
            rows.append(_ours(name, [*whole, *subset, fmean((whole[1], subset[0]))]))
    return {"validation": rows}


def _published(rows: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    return [{"name": name, "published": True, "values": list(values)} for name, values in rows.items()]


def _ours(name: str, values: Sequence[float | None]) -> dict[str, Any]:
    return {"name": name, "published": False, "values": list(values)}
