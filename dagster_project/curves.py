"""Curves small enough to stand inline in the Dagster UI (Markdown under 1,000 characters)."""

from __future__ import annotations

import base64
import itertools
import json
import math
from pathlib import Path

POINTS = 24
WIDTH, HEIGHT = 240, 60


def sparkline(metrics: Path, key: str) -> str:
    """One metric of a ``metrics.jsonl`` over its steps as Markdown: an inline SVG line with first and last value."""
    rows = (json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines())
    values = [float(row[key]) for row in rows if key in row and math.isfinite(row[key])]
    if not values:
        return f"no {key} recorded"
    count = min(POINTS, len(values))
    bounds = [index * len(values) // count for index in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(bounds)]
    low, span = min(means), (max(means) - min(means)) or 1.0
    line = " ".join(
        f"{index * WIDTH / max(count - 1, 1):.0f},{(HEIGHT - 4) - (value - low) / span * (HEIGHT - 8):.0f}"
        for index, value in enumerate(means)
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">'
        f'<polyline points="{line}" fill="none" stroke="#4f43dd" stroke-width="2"/></svg>'
    )
    picture = base64.b64encode(svg.encode()).decode()
    return f"![{key}](data:image/svg+xml;base64,{picture}) {key} {values[0]:.3f} → {values[-1]:.3f}"
