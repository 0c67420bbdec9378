"""Curves for the UI: small enough to stand inline, and made of the recorded numbers."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

from dagster_project.curves import sparkline


def test_the_line_falls_when_the_loss_falls_and_stays_inline(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("\n".join(json.dumps({"step": step, "loss": 5.0 - step / 250}) for step in range(1000)))
    shown = sparkline(metrics, "loss")
    assert len(shown) < 1000 and "5.000 → 1.004" in shown
    picture = re.search(r"base64,([^)]+)\)", shown)
    assert picture
    heights = [int(pair.split(",")[1]) for pair in re.findall(r"\d+,\d+", base64.b64decode(picture[1]).decode())]
    assert heights == sorted(heights) and heights[0] < heights[-1], "SVG counts downwards"


def test_no_values_is_said(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text('{"step": 1, "loss": NaN}\n')
    assert sparkline(metrics, "loss") == "no loss recorded"
