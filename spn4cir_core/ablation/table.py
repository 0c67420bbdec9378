"""What a grid found, as a table: means over seeds, their spread, and 95 % confidence intervals."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spn4cir_core.ablation.grid import MEASURES, Levels, Result
from spn4cir_core.store.whole_file import whole_file
from spn4cir_core.training.roles import CONTROL, ROLES, STAGE2

GAIN = f"{STAGE2.label} − {CONTROL.label}"
"""Differences are taken seed by seed: both models of a seed answer the same queries."""
COLUMNS = (*MEASURES, GAIN)
PLOTTED = {role.label: role.colours[0] for role in ROLES.values()}


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, in per cent or points, with its 95 % confidence interval."""

    mean: float
    low: float
    high: float
    least: float
    most: float
    deviation: float | None
    """Standard deviation over seeds; None for one seed."""
    seeds: int


@dataclass(frozen=True)
class Row:
    """One combination of levels."""

    levels: Levels
    measures: Mapping[str, Estimate]
    failed: Sequence[str]
    """Errors of the seeds that failed."""


def rows_of(results: Sequence[Result]) -> list[Row]:
    """One row for each combination of levels, in the order of the results."""
    groups: dict[tuple[tuple[str, str], ...], list[Result]] = {}
    for result in results:
        groups.setdefault(tuple(result.levels.items()), []).append(result)
    return [_row(dict(levels), group) for levels, group in groups.items()]


def _row(levels: Levels, group: Sequence[Result]) -> Row:
    recalls = [result.recall for result in group if result.recall is not None]
    measures = {}
    for measure in MEASURES:
        values = [recall[measure] for recall in recalls if measure in recall]
        if values:
            measures[measure] = estimate([value[0] for value in values], values[0][1:], (0.0, 100.0))
    ours, theirs = STAGE2.label, CONTROL.label
    gains = [recall[ours][0] - recall[theirs][0] for recall in recalls if {ours, theirs} <= recall.keys()]
    if gains:
        measures[GAIN] = estimate(gains, (math.nan, math.nan), (-100.0, 100.0))
    return Row(levels, measures, [result.error for result in group if result.error])


def estimate(values: Sequence[float], alone: Sequence[float], limits: tuple[float, float]) -> Estimate:
    """Mean and Student's t interval over seeds; one value keeps the interval it comes with."""
    mean = statistics.fmean(values)
    low, high, deviation = alone[0], alone[1], None
    if len(values) > 1:
        from scipy.stats import t

        deviation = statistics.stdev(values)
        half = float(t.ppf(0.975, len(values) - 1)) * deviation / math.sqrt(len(values))
        low, high = max(limits[0], mean - half), min(limits[1], mean + half)
    return Estimate(mean, low, high, min(values), max(values), deviation, len(values))


def markdown(results: Sequence[Result], k: int) -> str:
    """A Markdown table, with a line on how to read it, and the errors of failed cells."""
    rows = rows_of(results)
    axes = list(results[0].levels) if results else []
    lines = [
        _caption(results, k),
        "",
        f"| {' | '.join([*axes, *COLUMNS])} |",
        f"|{'---|' * (len(axes) + len(COLUMNS))}",
    ]
    for row in rows:
        shown = [_shown(row.measures.get(column), signed=column == GAIN) for column in COLUMNS]
        lines.append(f"| {' | '.join([*map(_cell, row.levels.values()), *shown])} |")
    failures = [f"- {_cell(', '.join(row.levels.values()))}: {_cell(error)}" for row in rows for error in row.failed]
    return "\n".join([*lines, *(["", "Failed:", "", *failures] if failures else []), ""])


def _caption(results: Sequence[Result], k: int) -> str:
    sets = sorted({result.query_set for result in results if result.query_set})
    queries = sorted({result.queries for result in results if result.queries})
    seeds = len({result.seed for result in results})
    question = f"{' or '.join(map(str, queries)) or 'no'} queries of {', '.join(sets) or 'no set'}"
    if seeds == 1:
        return f"Recall@{k} in per cent, {question}, one seed [95 % confidence interval over queries]."
    return f"Recall@{k} in per cent, {question}; mean of {seeds} seeds [95 % confidence interval] (least to most)."


def _shown(estimate: Estimate | None, signed: bool) -> str:
    if estimate is None:
        return "–"
    form = "{:+.1f}" if signed else "{:.1f}"
    mean, low, high, least, most = (
        form.format(value).replace("-", "−")
        for value in (estimate.mean, estimate.low, estimate.high, estimate.least, estimate.most)
    )
    interval = "" if math.isnan(estimate.low) else f" [{low}, {high}]"
    return mean + interval + (f" ({least} to {most})" if estimate.seeds > 1 else "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def comma_separated(results: Sequence[Result]) -> str:
    """CSV with one line for each combination of levels and measure."""
    stream = io.StringIO()
    axes = list(results[0].levels) if results else []
    numbers = ["mean", "low", "high", "least", "most", "deviation", "seeds"]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*axes, "measure", *numbers])
    for row in rows_of(results):
        for measure, estimate in row.measures.items():
            values = asdict(estimate)
            writer.writerow([*row.levels.values(), measure, *(values[name] for name in numbers)])
    return stream.getvalue()


def as_json(results: Sequence[Result], k: int) -> dict[str, Any]:
    """Every cell and every mean; what does not exist is null."""
    rows = [
        {"levels": row.levels, "failed": len(row.failed), "measures": {m: asdict(e) for m, e in row.measures.items()}}
        for row in rows_of(results)
    ]
    contents: dict[str, Any] = _without_nan({"k": k, "rows": rows, "cells": [asdict(result) for result in results]})
    return contents


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def picture(results: Sequence[Result], k: int, path: Path) -> None:
    """SVG: one line for each combination of levels, with stage 1, control and stage 2 and their intervals."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    rows = rows_of(results)
    with mpl.rc_context({"svg.hashsalt": "spn4cir", "text.parse_math": False}):
        figure = Figure(figsize=(8.0, 1.4 + 0.55 * len(rows)), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for number, (measure, colour) in enumerate(PLOTTED.items()):
            measured = [(height, row.measures[measure]) for height, row in enumerate(rows) if measure in row.measures]
            means = [one.mean for _, one in measured]
            around = [[one.mean - one.low for _, one in measured], [one.high - one.mean for _, one in measured]]
            heights = [height + 0.2 * (number - 1) for height, _ in measured]
            axes.errorbar(means, heights, xerr=around, fmt="o", color=colour, label=measure, markersize=4)
        axes.set_yticks(range(len(rows)), [" · ".join(row.levels.values()) for row in rows])
        axes.invert_yaxis()
        axes.set_xlabel(f"recall@{k}, %, with 95 % intervals")
        axes.grid(axis="x", linewidth=0.4)
        axes.legend(fontsize=8)
        with whole_file(path) as scratch:
            figure.savefig(scratch, format="svg", metadata={"Date": None, "Creator": None})


def write_tables(results: Sequence[Result], k: int, folder: Path) -> list[Path]:
    """Write ``ablation.md``, ``.csv`` and ``.json`` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "md": markdown(results, k),
        "csv": comma_separated(results),
        "json": json.dumps(as_json(results, k), ensure_ascii=False, indent=1, allow_nan=False) + "\n",
    }
    paths = []
    for ending, text in texts.items():
        path = folder / f"ablation.{ending}"
        with whole_file(path) as scratch:
            scratch.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths
