"""What Dagster records of an artefact: its data version, numbers that plot over runs, rows and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
from PIL import Image

from dagster_project.curves import sparkline
from dagster_project.pictures import inline_picture
from spn4cir_core.reports.previews import HEADLINE
from spn4cir_core.store.artifacts import Artifact

SAMPLE_ROWS = 5
CELL_CHARACTERS = 120
PICTURE_SUFFIXES = (".jpg", ".png")
STATE_KEY, COMPUTED, UP_TO_DATE = "state", "computed", "up to date"


def materialization(artifact: Artifact, reused: bool, beside: Mapping[str, Any] | None = None) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The result of a stage, what people look for first; the artefact's fingerprint is the data version.

    ``beside`` is metadata that is computed from more than the artefact.
    """
    summary = artifact.summary
    files = _files(artifact)
    numbers, rest = _numbers({key: value for key, value in artifact.details.items() if key not in files})
    metadata: dict[str, Any] = {
        STATE_KEY: UP_TO_DATE if reused else COMPUTED,
        "dagster/row_count": int(summary["rows"]),
        "rows": int(summary["rows"]),
        **files,
        **(beside or {}),
        **numbers,
    }
    if summary["drops"]:
        metadata["drops"] = _table([{"reason": why, "count": count} for why, count in summary["drops"].items()])
    if f"{artifact.noun}.parquet" in summary["files"]:
        metadata["sample"] = _table(artifact.head(SAMPLE_ROWS).to_pylist())
    metadata |= {key: value for key, value in rest.items() if key not in metadata}
    metadata |= {f"seconds_{cause}": value for cause, value in summary["seconds"].items()}
    metadata |= {"fingerprint": artifact.fingerprint, "folder": dg.MetadataValue.path(artifact.location)}
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(artifact.fingerprint))


def _files(artifact: Artifact) -> dict[str, Any]:
    """Pictures, curves and pages among the artefact's files."""
    shown: dict[str, Any] = {}
    for name in artifact.summary["files"]:
        if name.endswith(PICTURE_SUFFIXES):
            shown[name.rpartition(".")[0]] = inline_picture(Image.open(artifact.file(name)), name)
        if name == HEADLINE:  # the one text of which every word is ours
            shown[name.rpartition(".")[0]] = dg.MetadataValue.md(artifact.file(name).read_text(encoding="utf-8"))
        elif name.endswith((".html", ".md")):
            shown[name.replace(".", "_")] = dg.MetadataValue.path(f"{artifact.location}/{name}")
        if name == "metrics.jsonl":
            shown["loss_curve"] = dg.MetadataValue.md(sparkline(artifact.file(name), "loss"))
    return shown


def _numbers(details: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Numbers and short words under keys of their own, so that they plot over runs; anything else as JSON."""
    numbers: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in details.items():
        if isinstance(value, bool | int | float | str):
            numbers[key] = value
        elif isinstance(value, Mapping) and value and all(isinstance(item, int | float) for item in value.values()):
            numbers |= {f"{key}: {name}": item for name, item in value.items()}
        elif value is not None:
            rest[key] = dg.MetadataValue.json(value)
    return numbers, rest


def _table(rows: list[dict[str, Any]]) -> dg.TableMetadataValue:
    if not rows:
        return dg.MetadataValue.table([], schema=dg.TableSchema(columns=[]))
    return dg.MetadataValue.table([dg.TableRecord({key: _cell(value) for key, value in row.items()}) for row in rows])


def _cell(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if len(text) <= CELL_CHARACTERS else text[: CELL_CHARACTERS - 1] + "…"
