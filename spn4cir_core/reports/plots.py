"""Plots as inline SVG whose colours are the page's: they follow light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from spn4cir_core.training.roles import ROLES, served_among

INK, LINE = "#010203", "#010204"
"""Stand-ins, replaced by the page's own colours in the finished SVG."""
MODE_COLOURS = {"image": ("#17803d", "#5fcf87"), "text": ("#b0307e", "#f08bc5"), "sum": ("#6a4fc0", "#b6a2ff")}
"""Colours of the served model's single modalities and their sum, on light and on dark paper."""
COLOURS = {**{name: role.colours for name, role in ROLES.items()}, **MODE_COLOURS}
SERIES = {name: f"#{0x010205 + number:06x}" for number, name in enumerate(COLOURS)}
THEMED = {INK: "currentColor", LINE: "var(--line)"} | {colour: f"var(--{name})" for name, colour in SERIES.items()}
POINTS, SPARSE = 300, 30


HALF_WIDTH_LABEL, WIDE_LABEL = 20, 44
"""Characters of a label that fit into half a legend's width, and into all of it."""
PANELS = {
    "loss": "loss",
    "validation_recall_at_5": "recall@5 on validation queries",
    "learning_rate": "learning rate",
    "temperature": "temperature",
}
"""Fields of the metrics that are plotted, and what they are called."""
WIDTH_IN, HEIGHT_IN = 4.6, 3.7
"""So narrow that a plot can be read on a phone; on a desktop it is shown larger."""


def training_curves(metrics: Mapping[str, Sequence[Mapping[str, Any]]], names: Mapping[str, str]) -> dict[str, str]:
    """Title → plot of each of :data:`PANELS` that was logged, over steps, one line per stage."""
    logged = {field for lines in metrics.values() for line in lines for field in line if line[field] is not None}
    return {title: _curve(field, title, metrics, names) for field, title in PANELS.items() if field in logged}


def _curve(field: str, title: str, metrics: Mapping[str, Sequence[Mapping[str, Any]]], names: Mapping[str, str]) -> str:
    def draw(figure: Any) -> None:
        axes = figure.add_subplot(1, 1, 1)
        for stage, lines in metrics.items():
            points = [(line["step"], line[field]) for line in lines if line.get(field) is not None]
            steps, values = _smooth(points)
            if len(steps):
                marker = "o" if len(steps) < SPARSE else ""
                axes.plot(
                    steps, values, color=SERIES[stage], label=names[stage], linewidth=1.6, marker=marker, markersize=3
                )
        axes.set_title(title)
        axes.set_xlabel("step of the stage")
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", ncols=3)

    return _svg(draw, WIDTH_IN, 3.1)


def recall_over_k(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    """Recall@k of the models, with 95 % intervals, and of the served one's single modalities."""
    ks = sorted({row["k"] for row in rows})

    def draw(figure: Any) -> None:
        axes = figure.add_subplot(1, 1, 1)
        for model, mode in _lines(rows):
            line = sorted((r for r in rows if (r["model"], r["query"]) == (model, mode)), key=lambda r: int(r["k"]))
            name = model if mode == "composed" else mode
            recall = np.array([row["recall"] for row in line]) * 100
            low = np.array([row["low"] for row in line]) * 100
            high = np.array([row["high"] for row in line]) * 100
            dashes = "-" if mode == "composed" else ":"
            axes.plot(ks, recall, dashes, color=SERIES[name], label=names[name], marker="o", markersize=3.5)
            if mode == "composed":
                axes.fill_between(ks, low, high, color=SERIES[name], alpha=0.14, linewidth=0)
        if len(ks) > 1:
            axes.set_xscale("log")
        axes.set_xticks(ks, [str(k) for k in ks])
        axes.minorticks_off()
        axes.set_xlabel("k: first pictures looked at")
        axes.set_ylabel("queries answered, %")
        axes.set_ylim(0, 100)
        figure.legend(loc="outside lower center", ncols=2)

    return _svg(draw, WIDTH_IN, HEIGHT_IN)


def _lines(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(model, mode) of the lines of a plot, in the order of its legend."""
    served = served_among(row["model"] for row in rows)
    composed = [(name, "composed") for name in (served.name, *served.compared_with)]
    return [*composed, *((served.name, mode) for mode in ("sum", "image", "text"))]


def compared_curves(curves: Sequence[Mapping[str, Any]]) -> str:
    """Recall@k of several runs' composed queries; beyond six runs the colours come again, dashed."""
    colours = list(SERIES.values())[2:] + list(SERIES.values())[:2]
    columns = 2 if all(len(curve["label"]) <= HALF_WIDTH_LABEL for curve in curves) else 1

    def draw(figure: Any) -> None:
        axes = figure.add_subplot(1, 1, 1)
        for number, curve in enumerate(curves):
            colour, dashes = colours[number % len(colours)], ("-", "--", ":")[number // len(colours) % 3]
            recall = [100 * value for value in curve["recall"]]
            axes.plot(curve["ks"], recall, dashes, color=colour, label=_short(curve["label"]), marker="o", markersize=3)
        axes.set_xscale("log")
        axes.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
        axes.minorticks_off()
        axes.set_xlabel("k: first pictures looked at")
        axes.set_ylabel("queries answered, %")
        axes.set_ylim(0, 100)
        figure.legend(loc="outside lower center", ncols=columns)

    return _svg(draw, WIDTH_IN, 3.2 + 0.2 * -(-len(curves) // columns))


def _short(label: str) -> str:
    """The label, its middle left out where it is too long for a legend."""
    return label if len(label) <= WIDE_LABEL else f"{label[: WIDE_LABEL // 2]}…{label[-WIDE_LABEL // 2 + 1 :]}"


def recall_over_gallery(rows: Sequence[Mapping[str, Any]], k: int, names: Mapping[str, str]) -> str:
    """Recall@k of the models and of the served one's single modalities, against the size of the gallery."""

    def draw(figure: Any) -> None:
        axes = figure.add_subplot(1, 1, 1)
        for model, mode in _lines(rows):
            line = [row for row in rows if (row["model"], row["query"], row["k"]) == (model, mode, k)]
            name, dashes = (model, "-") if mode == "composed" else (mode, ":")
            sizes, recall = [row["gallery"] for row in line], [100 * row["recall"] for row in line]
            axes.plot(sizes, recall, dashes, color=SERIES[name], label=names[name], marker="o", markersize=3.5)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.minorticks_off()
        axes.set_xlabel("images in the gallery")
        axes.set_ylabel(f"recall@{k}, %")
        axes.set_ylim(0, 100)
        figure.legend(loc="outside lower center", ncols=2)

    return _svg(draw, WIDTH_IN, HEIGHT_IN)


def recall_by_kind(rows: Sequence[Mapping[str, Any]], k: int, names: Mapping[str, str]) -> str:
    """Recall@k of the served model per kind of modification and mode, with 95 % intervals."""
    kinds = sorted({row["kind"] for row in rows}, reverse=True)
    modes = ("composed", "sum", "image", "text")
    served = served_among(row["model"] for row in rows).name
    here = {(row["kind"], row["query"]): row for row in rows if row["k"] == k and row["model"] == served}

    def draw(figure: Any) -> None:
        axes = figure.add_subplot(1, 1, 1)
        for number, mode in enumerate(modes):
            name = served if mode == "composed" else mode
            points = [(height, here[kind, mode]) for height, kind in enumerate(kinds) if (kind, mode) in here]
            heights = [height + 0.24 - 0.16 * number for height, _ in points]
            recall = [100 * row["recall"] for _, row in points]
            around = [
                [max(0.0, 100 * (row["recall"] - row["low"])) for _, row in points],
                [max(0.0, 100 * (row["high"] - row["recall"])) for _, row in points],
            ]
            axes.errorbar(recall, heights, xerr=around, fmt="o", color=SERIES[name], label=names[name], markersize=4)
        axes.set_yticks(range(len(kinds)), kinds)
        axes.set_ylim(-0.6, len(kinds) - 0.4)
        axes.set_xlim(0, min(100, 115 * max(row["high"] for row in here.values()) + 1))
        axes.set_xlabel(f"recall@{k}, %")
        figure.legend(loc="outside lower center", ncols=2)

    return _svg(draw, WIDTH_IN, 1.4 + 0.55 * len(kinds))


def _smooth(points: Sequence[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Means over at most ``POINTS`` stretches of equal length."""
    values = np.array(points, np.float64).reshape(-1, 2)
    values = values[np.isfinite(values).all(axis=1)]
    if not len(values):
        return values[:, 0], values[:, 1]
    parts = np.array_split(values, min(POINTS, len(values)))
    means = np.array([part.mean(axis=0) for part in parts])
    return means[:, 0], means[:, 1]


def _svg(draw: Callable[[Any], None], width_in: float, height_in: float) -> str:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.hashsalt": "spn4cir",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 10.5,
        "axes.titlesize": 11,
        "axes.edgecolor": LINE,
        "axes.labelcolor": INK,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": LINE,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "legend.fontsize": 10,
        "text.color": INK,
        "text.parse_math": False,
        "xtick.color": INK,
        "ytick.color": INK,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(stream.getvalue())


def _inline(svg: str) -> str:
    """The SVG element alone, sized by the page, in the page's colours."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*" ([^>]*?)width="[^"]*"', r"<svg \1\2", svg, count=1)
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg aria-hidden="true" viewBox="\1">', svg, count=1)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    for colour, themed in THEMED.items():
        svg = svg.replace(colour, themed)
    return svg.strip()
