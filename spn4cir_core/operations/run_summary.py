"""The state of a recipe: what each stage made, at which cost, what of it was there before, whether it holds."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from spn4cir_core.errors import Spn4cirError
from spn4cir_core.flow import STAGES
from spn4cir_core.operations.changes import NOT_MADE, why_outdated
from spn4cir_core.operations.checks import CHECKS, Check, RecipeArtifacts
from spn4cir_core.operations.findings import finding_of
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.summaries import SUMMARY
from spn4cir_core.store.whole_file import read_json

UP_TO_DATE, WOULD_RUN, COMPUTED = "up to date", "would run", "computed"
"""The words of `spn4cir status`, of a run's last lines and of the page."""


def run_summary(recipe: Recipe, store: Store, reused: Mapping[str, bool] | None = None) -> dict[str, Any]:
    """The content of the pages as JSON values. Runs the checks of what is up to date.

    Args:
        reused: stages of the run that has just ended, and whether their artefacts were already there.

    Raises:
        Spn4cirError: what a stage reads from outside the store cannot be read.
    """
    why, ran = why_outdated(recipe, store), reused or {}
    stages = [_stage(name, recipe, store, why.get(name, []), ran) for name in STAGES]
    made = [stage for stage in stages if stage["state"] != NOT_MADE]
    report = store.current(recipe.name, "eval_report")
    headline = report.details.get("headline", {}) if report else {}
    return {
        "recipe": recipe.name,
        "store": str(store),
        "written": _time(datetime.now().timestamp()),
        "version": metadata.version("spn4cir"),
        "headline": list(headline.get("sentences", [])),
        "caution": headline.get("caution", ""),
        "report": str(report.path / "report.html") if report and "report.html" in report.summary["files"] else "",
        "late": len(why),
        "failed_checks": sum(check["passed"] is False for stage in stages for check in stage["checks"]),
        "seconds": round(sum(sum(stage["seconds"].values()) for stage in made), 1),
        "bytes": sum(stage["bytes"] for stage in made),
        "kept_rows_bytes": bytes_below(store.root / "rows"),
        "free_bytes": shutil.disk_usage(_existing(store.root)).free,
        "stages": stages,
    }


def _stage(name: str, recipe: Recipe, store: Store, why: list[str], reused: Mapping[str, bool]) -> dict[str, Any]:
    artifact = store.current(recipe.name, name)
    if artifact is None:
        return {
            **{"noun": name, "state": NOT_MADE, "why": why, "this_run": ""},
            **{"drops": {}, "seconds": {}, "checks": []},
        }
    summary = artifact.summary
    details = summary["details"]
    return {
        "noun": name,
        "state": WOULD_RUN if why else UP_TO_DATE,
        "why": why,
        "fingerprint": artifact.fingerprint,
        "version": summary.get("version"),
        "when": _time((artifact.path / SUMMARY).stat().st_mtime),
        "rows_in": _rows_in(artifact, store),
        "rows": summary["rows"],
        "drops": summary["drops"],
        "seconds": summary["seconds"],
        "bytes": sum(recorded["bytes"] for recorded in summary["files"].values()),
        "files": len(summary["files"]),
        "rows_computed": details.get("computed", details.get("encoded")),
        "rows_reused": details.get("reused"),
        "this_run": _this_run(name, why, reused),
        "shared_with": _shared_with(artifact, recipe, store),
        "checks": [] if why else [_checked(check, stops, recipe, store) for of, check, stops in CHECKS if of == name],
    }


def _this_run(name: str, why: list[str], reused: Mapping[str, bool]) -> str:
    """What the run that has just ended did about a stage; empty where it would run, or was not looked at."""
    if name not in reused or (reused[name] and why):
        return ""
    return UP_TO_DATE if reused[name] else COMPUTED


def _rows_in(artifact: Artifact, store: Store) -> dict[str, int]:
    """Rows of the artefacts that this one was made from, as far as the store still has them."""
    parents = {name: store.get(name, fingerprint) for name, fingerprint in artifact.summary["parents"].items()}
    return {name: int(parent.summary["rows"]) for name, parent in parents.items() if parent is not None}


def _shared_with(artifact: Artifact, recipe: Recipe, store: Store) -> list[str]:
    """Other recipes of the store whose current artefact this is as well: it was made once for all of them."""
    pointers = sorted((store.root / "recipes").glob(f"*/{artifact.noun}.json"))
    others = [path for path in pointers if path.parent.name != recipe.name]
    return [path.parent.name for path in others if read_json(path).get("fingerprint") == artifact.fingerprint]


def _checked(check: Check, stops: bool, recipe: Recipe, store: Store) -> dict[str, Any]:
    name, asks = check.__name__.replace("_", " "), (check.__doc__ or "").strip()
    try:
        finding = finding_of(check, RecipeArtifacts(recipe.name, store))
    except Spn4cirError as error:
        return {"name": name, "asks": asks, "stops": stops, "passed": None, "says": str(error), "examples": []}
    return {
        "name": name,
        "asks": asks,
        "stops": stops,
        "passed": bool(finding.passed),
        "says": finding.says,
        "examples": finding.examples,
    }


def bytes_below(folder: Path) -> int:
    """Bytes of all files below a folder; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
