"""A report against the one before it: whether both were measured alike, and what else differs between them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from spn4cir_core.engine.progress import Progress, silent
from spn4cir_core.evaluation.query_sets import query_sets
from spn4cir_core.evaluation.report_tables import QUERIES_FILE, RECALL_FILE, read_report_table
from spn4cir_core.evaluation.settings import ReportInput
from spn4cir_core.evaluation.tables import tables
from spn4cir_core.images.files import image_files
from spn4cir_core.operations.changes import own_reasons
from spn4cir_core.recipe import Recipe
from spn4cir_core.reports.answers import answers_of
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.lineage import ancestor, lineage
from spn4cir_core.store.whole_file import read_json
from spn4cir_core.training.roles import BLEND, ROLES, STAGE2, TRAINED

JUDGED = (BLEND, STAGE2)
"""What is compared with the report before: what search serves, and the last trained network alone."""
Recalls = dict[tuple[str, str, int], float]
"""Recall of composed queries over all kinds, by query set, judged model and k."""
QUERY_COLUMNS = ("query_id", "reference_id", "modified_text", "target_ids")
RULER = ("images", "annotations", "splits", "eval_report")
"""What decides the queries and the galleries."""
TRAINING = (*(role.artifact for role in TRAINED.values()), "candidate_bank")
CUT = "more than most_per_guard"
"""Fragment of the reasons of rows that ``false_negatives`` cut."""


@dataclass(frozen=True)
class Ruler:
    """One query set of a report as far as recall depends on it."""

    queries: Mapping[str, str]
    """Query id → reference, text and targets."""
    gallery_images: int
    gallery_fingerprint: str

    def differences(self, older: Ruler) -> list[str]:
        """Why recall over this query set cannot be compared with recall over the older one; empty where it can."""
        reasons = []
        if only := len(self.queries.keys() ^ older.queries.keys()):
            reasons.append(f"{only:,} queries in one only ({len(older.queries):,} before, {len(self.queries):,} now)")
        both = self.queries.keys() & older.queries.keys()
        if changed := sum(self.queries[name] != older.queries[name] for name in both):
            reasons.append(f"{changed:,} queries with another reference, text or targets")
        if self.gallery_fingerprint != older.gallery_fingerprint:
            reasons.append(f"another gallery ({older.gallery_images:,} images before, {self.gallery_images:,} now)")
        return reasons


def rulers(report: Artifact) -> dict[str, Ruler]:
    """The query sets of a report by name; none where an older version wrote it without its queries."""
    if QUERIES_FILE not in report.summary["files"]:
        return {}
    queries: dict[str, dict[str, str]] = {}
    for row in read_report_table(report, QUERIES_FILE, "query_set", *QUERY_COLUMNS).to_pylist():
        queries.setdefault(row["query_set"], {})[row["query_id"]] = json.dumps([row[name] for name in QUERY_COLUMNS])
    return {
        about["name"]: Ruler(queries.get(about["name"], {}), about["gallery"], about["gallery_fingerprint"])
        for about in read_json(report.file("report.json"))["query_sets"]
        if about["queries"]
    }


def ruler_differences(now: Artifact, before: Artifact) -> dict[str, list[str]]:
    """Query set → why its recalls cannot be compared; of the query sets that both reports have."""
    newer, older = rulers(now), rulers(before)
    return {name: newer[name].differences(older[name]) for name in newer if name in older}


def composed_recalls(report: Artifact, value: str = "recall") -> Recalls:
    """Recalls of the judged models, or another column beside them, e.g. the upper end of their intervals."""
    return _of_judged(read_report_table(report, RECALL_FILE), value)


def _of_judged(table: pa.Table, value: str) -> Recalls:
    judged = {role.name for role in JUDGED}
    return {
        (row["query_set"], row["model"], row["k"]): row[value]
        for row in table.to_pylist()
        if row["model"] in judged and row["kind"] == "all" and row["query"] == "composed"
    }


def older_models(before: Artifact, store: Store) -> dict[str, Artifact]:
    """What the older report measured, by model, as far as it is still in the store; empty without stage 2.

    The blend is one of them only where all trained networks are, since its channels are.
    """
    parents = before.summary["parents"]
    artifacts = {name: store.get(role.artifact, parents.get(role.artifact, "")) for name, role in ROLES.items()}
    models = {name: artifact for name, artifact in artifacts.items() if artifact is not None}
    if STAGE2.name not in models:
        return {}
    return models if models.keys() >= TRAINED.keys() else {STAGE2.name: models[STAGE2.name]}


def measure_again(
    recipe: Recipe, store: Store, now: Artifact, models: Mapping[str, Artifact], progress: Progress = silent
) -> Recalls:
    """Recalls of older models, from :func:`older_models`, over the queries and galleries of today's report.

    A blend reads today's captions and image embeddings.

    Raises:
        StoreError: what today's report was made of has been deleted.
    """
    parents = {name: ancestor(store, now, name) for name in now.summary["parents"]}
    report = recipe.eval_report.model_copy(update={"searched_by": None})  # compared images give the recalls
    settings = ReportInput(eval_report=report, images=recipe.images, seed=recipe.seed)
    files = image_files(recipe.images, store)
    sets = query_sets(report, parents, files, recipe.seed)
    answers = answers_of(models, sets, settings, parents, files, store, progress)
    return _of_judged(tables(answers, report.ks, report.bootstrap_draws, recipe.seed).recall, "recall")


def diagnosis(recipe: Recipe, store: Store, now: Artifact, before: Artifact, progress: Progress = silent) -> list[str]:
    """Lines with the changes of recall, and which of ruler, data and training differ.

    Where the rulers differ, the older models are measured again on today's, if they are still in the store.
    """
    differences = ruler_differences(now, before)
    alike = {name for name, reasons in differences.items() if not reasons}
    labels = " and ".join(role.label for role in JUDGED)
    lines = [f"recall of {labels}, report {before.fingerprint} against {now.fingerprint}:"]
    lines += _recall_lines(composed_recalls(now), composed_recalls(before), alike, "before")
    models = older_models(before, store)
    if alike == rulers(now).keys():
        pass
    elif not models:
        lines.append("  the older checkpoint is not in the store any more, so it cannot be measured on today's ruler")
    elif measured_too(now, models):
        lines.append("  both reports measure the same checkpoint: only the ruler has changed")
    else:
        again = measure_again(recipe, store, now, models, progress)
        lines += _recall_lines(composed_recalls(now), again, set(rulers(now)), "older checkpoint on today's ruler")
    lines += ["ruler (queries, galleries, splits):", *_ruler_lines(differences, now, before)]
    newer, older = lineage({now.noun: now}, store), lineage({before.noun: before}, store)
    data = [name for name in newer if name not in (*RULER, *TRAINING)]
    lines += _changed_lines(newer, older, [name for name in newer if name in RULER])
    lines += ["data (pictures, captions, pairs, triplets, false negatives):", *_changed_lines(newer, older, data)]
    lines += ["training (steps, loss):", *_changed_lines(newer, older, [name for name in newer if name in TRAINING])]
    return lines


def measured_too(report: Artifact, models: Mapping[str, Artifact]) -> bool:
    """Whether the report measured the same models."""
    parents = report.summary["parents"]
    return all(parents.get(ROLES[name].artifact) == artifact.fingerprint for name, artifact in models.items())


def _recall_lines(now: Recalls, other: Recalls, names: set[str], label: str) -> Iterator[str]:
    for key, value in now.items():
        name, model, k = key
        if name in names and key in other:
            then, change = 100 * other[key], 100 * (value - other[key])
            was = f"{then:.1f} % {label}"
            yield f"  {name}, {ROLES[model].label}, recall@{k}: {was}, {100 * value:.1f} % now ({change:+.1f} points)"


def _ruler_lines(differences: Mapping[str, list[str]], now: Artifact, before: Artifact) -> Iterator[str]:
    for name, reasons in differences.items():
        yield f"  {name}: {'; '.join(reasons) or 'same queries and same gallery'}"
    for name in rulers(now).keys() ^ rulers(before).keys():
        yield f"  {name}: in one report only"


def _changed_lines(now: Mapping[str, Artifact], before: Mapping[str, Artifact], names: list[str]) -> Iterator[str]:
    """One line for each artefact that differs: its numbers, and the settings or versions behind them."""
    changed = [name for name in names if name not in before or now[name].fingerprint != before[name].fingerprint]
    for name in changed:
        if name not in before:
            yield f"  {name}: not there before"
            continue
        newer, older = _numbers(now[name]), _numbers(before[name])
        differing = [key for key in newer if newer[key] != older.get(key)]
        numbers = [f"{key} {_short(older.get(key))} → {_short(newer[key])}" for key in differing]
        reasons = [*numbers, *own_reasons(before[name], now[name].summary)]
        yield f"  {name}: {'; '.join(reasons) or 'made from other inputs, with the same counts'}"
    if not changed:
        yield "  the same"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _numbers(artifact: Artifact) -> dict[str, Any]:
    """Rows, and of a training its length and losses, of false negatives how many a limit cut."""
    details = artifact.details
    numbers = {"rows": artifact.summary["rows"]}
    numbers |= {name: details[name] for name in ("steps", "first_loss", "last_loss") if name in details}
    cut = {reason: count for reason, count in artifact.summary["drops"].items() if CUT in reason}
    return (
        numbers
        | cut
        | ({"images by split": details["images"]} if "images" in details and artifact.noun == "splits" else {})
    )
