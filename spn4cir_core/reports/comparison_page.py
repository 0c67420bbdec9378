"""Several runs side by side as one self-contained HTML page, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spn4cir_core.evaluation.comparison import Run, compared_sets, comparison, won_and_lost
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.reports.contents import MODE_NAMES, TITLES
from spn4cir_core.reports.galleries import Pictures
from spn4cir_core.reports.page import render, wide_k
from spn4cir_core.reports.plots import compared_curves
from spn4cir_core.reports.thumbnails import Thumbnails
from spn4cir_core.store.artifacts import Artifact, Store

SHOWN_HITS = 5
SHOWN_QUERIES = 4


def run_comparison(runs: Sequence[Run], model: str, query_set: str, draws: int, seed: int) -> dict[str, Any]:
    """What the page says, as JSON values.

    Args:
        query_set: the one to compare; empty: all that at least two runs have.

    Raises:
        InputError: the runs share no query set, or have no such model.
    """
    sets = []
    for compared in compared_sets(runs, model, query_set):
        figures = comparison(compared, draws, seed)
        sets.append(
            figures | {"wide": wide_k(figures), "changed": won_and_lost(compared, wide_k(figures), SHOWN_QUERIES)}
        )
    return {
        "model": model,
        "model_name": TITLES[model],
        "title": comparison_title(sets),
        "modes": MODE_NAMES,
        "runs": [{"label": run.label, "name": run.name, "fingerprint": run.report.fingerprint} for run in runs],
        "query_sets": sets,
    }


def comparison_title(sets: Sequence[Mapping[str, Any]]) -> str:
    """The result in one line: of the first query set that measures composition, else of the first."""
    shown = next((one for one in sets if one["headline"]), sets[0])
    if shown["unlike"]:
        return "These runs were not asked the same"
    recalls = [(row["label"], row["cells"][0]) for row in shown["rows"]]
    measure = recalls[0][1]["measure"]
    if len(shown["rows"]) != 2:
        return f"{measure}: " + ", ".join(f"{label} {100 * cell['value']:.1f} %" for label, cell in recalls)
    gain = shown["differences"][0]
    (before, _), (after, _) = recalls
    points, low, high = (f"{100 * gain[name]:+.1f}".replace("-", "−") for name in ("difference", "low", "high"))
    return f"{after} against {before}: {points} points of {measure} ({low} to {high})"


def comparison_html(contents: Mapping[str, Any], files: ImageFiles | None, captions: Mapping[str, str]) -> str:
    """The page; styles, plots and pictures are inside it.

    Args:
        files: opens the pictures, whose paths are their ids; None: captions stand for them.
        captions: by image id.
    """
    paths = {image_id: image_id for image_id in pictured(contents)} if files else {}
    pictures = Pictures(Thumbnails(files or ImageFiles(Path()), paths), captions)
    plots = {query_set["name"]: compared_curves(query_set["curves"]) for query_set in contents["query_sets"]}
    return render(
        "comparison.jinja", {"comparison": contents, "plots": plots, "tile": pictures.tile, "shown_hits": SHOWN_HITS}
    )


def comparison_markdown(contents: Mapping[str, Any]) -> str:
    """The numbers as Markdown, for pull requests."""
    return render("comparison_markdown.jinja", {"comparison": contents})


def pictured(contents: Mapping[str, Any]) -> set[str]:
    """Ids of all images that the page shows."""
    queries = [
        one for query_set in contents["query_sets"] for group in query_set["changed"] for one in group["queries"]
    ]
    references = {one["query"]["reference_id"] for one in queries}
    return references | {image_id for one in queries for answer in one["answers"] for image_id in answer["hits"]}


def parent_of(run: Run, noun: str, store: Store) -> Artifact | None:
    """The artefact of that noun that a run's report was made from, if it is still in the store."""
    fingerprint = run.report.summary["parents"].get(noun)
    return store.get(noun, fingerprint) if fingerprint else None
