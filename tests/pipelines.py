"""A pipeline small enough for tests: the demo recipe with a few scenes and a few steps."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

WHERE_IT_CAN = {"validation": {"queries": "auto"}}
"""Of a stage's settings: no validation where a corpus has too few pictures for it."""
TINY: dict[str, Any] = {
    "images": {"reader": {"kind": "shapes", "scenes": 12, "edits": 4, "test_scenes": 4, "validation_scenes": 0}},
    "annotations": {"max_triplets": 10},
    "pairs": {"mode": "auto", "window": [1, 8], "per_reference": 1},
    "stage1_checkpoint": {"steps": 4, "batch_size": 16, **WHERE_IT_CAN},
    "stage2_checkpoint": {"steps": 4, "batch_size": 16, **WHERE_IT_CAN},
    "eval_report": {"bootstrap_draws": 100, "gallery_pictures": 2},
}


def toml_of(tables: dict[str, Any], path: str = "") -> str:
    """Write nested tables of plain values as TOML."""
    plain = {key: value for key, value in tables.items() if not isinstance(value, dict)}
    lines = [f"[{path}]"] if path and plain else []
    lines += [f"{key} = {_value(value)}" for key, value in plain.items()]
    for key, value in tables.items():
        if isinstance(value, dict):
            lines.append(toml_of(value, f"{path}.{key}" if path else key))
    return "\n".join(lines)


def tiny_recipe_file(folder: Path, **overrides: Any) -> Path:
    """A recipe file based on the demo; ``overrides`` replace whole top-level tables."""
    path = folder / "tiny.toml"
    tables = {"base": "demo", "name": "tiny", **TINY, **overrides}
    for stage in ("stage1_checkpoint", "stage2_checkpoint"):
        tables[stage] = WHERE_IT_CAN | tables[stage]
    path.write_text(toml_of(tables), encoding="utf-8")
    tomllib.loads(path.read_text(encoding="utf-8"))
    return path


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return repr(value)
