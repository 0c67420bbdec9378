"""The state of a recipe as one self-contained HTML page and as Markdown. Every dynamic string is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from spn4cir_core.reports.page import render

CAUSES = ("read", "compute", "write")


def summary_html(run: Mapping[str, Any]) -> str:
    """The page; it loads nothing.

    Args:
        run: see ``spn4cir_core.operations.run_summary``.
    """
    return render("summary.jinja", _values(run))


def summary_markdown(run: Mapping[str, Any]) -> str:
    """The same as Markdown."""
    return render("summary_markdown.jinja", _values(run))


def duration(seconds: float) -> str:
    """``0.3 s``, ``4 min 10 s``, ``3 h 20 min``, ``2 d 4 h``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24:,} d {hours % 24} h"


def size(count: float) -> str:
    """``812 B``, ``3.4 MB``: bytes in powers of 1,000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB" if count < 1000 else f"{count:,.0f} TB"


def _values(run: Mapping[str, Any]) -> dict[str, Any]:
    longest = max((sum(stage.get("seconds", {}).values()) for stage in run["stages"]), default=0)
    return {
        "run": run,
        "bars": {stage["noun"]: _bar(stage.get("seconds", {}), longest) for stage in run["stages"]},
        "causes": CAUSES,
        "duration": duration,
        "size": size,
        "moment": _moment,
    }


def _bar(seconds: Mapping[str, float], longest: float) -> list[dict[str, Any]]:
    """Parts of a bar, in per cent of the longest stage's; causes of another name count as compute."""
    by_cause = dict.fromkeys(CAUSES, 0.0)
    for cause, value in seconds.items():
        by_cause[cause if cause in by_cause else "compute"] += value
    return [{"cause": cause, "share": round(100 * value / longest, 2)} for cause, value in by_cause.items() if value]


def _moment(time: str) -> str:
    return datetime.fromisoformat(time).strftime("%Y-%m-%d %H:%M")
