"""The laws of the house that an import or a file name can break."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CORE = Path(__file__).parents[1] / "spn4cir_core"
ORCHESTRATION = CORE.parent / "dagster_project"
MODULES = sorted(path for path in CORE.rglob("*.py"))
HEAVY = ("torch", "transformers", "timm", "faiss", "matplotlib", "open_clip", "dagster")
NAMES_FOR_EVERYTHING = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}
UPSTREAM_FIRST = (
    "images",
    "annotations",
    "embeddings",
    "captions",
    "splits",
    "pairs",
    "texts",
    "triplets",
    "negatives",
    "backbones",
    "objectives",
    "training",
    "evaluation",
    "search",
    "reports",
)
KNOW_ROOMS = {
    "checks",
    "cli",
    "cli_estimate",
    "cli_evaluation",
    "cli_serve",
    "cli_summary",
    "cli_training",
    "cli_triplets",
    "flow",
    "growth",
    "recipe",
}
"""Small files at the root that know all rooms; every other root file knows none."""


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names of all imports, those inside functions included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_imported(path: Path) -> set[str]:
    names = (name.split(".") for name in imported(ast.parse(path.read_text(encoding="utf-8"))))
    return {parts[1] for parts in names if parts[0] == "spn4cir_core" and len(parts) > 1 and (CORE / parts[1]).is_dir()}


def name_of(path: Path) -> str:
    return path.relative_to(CORE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_core_never_imports_dagster(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported(ast.parse(path.read_text(encoding="utf-8")))}
    assert not roots & {"dagster", "dagster_project", "dagster_pipes"}


@pytest.mark.parametrize("path", [path for path in MODULES if path.parent != CORE], ids=name_of)
def test_a_room_imports_only_rooms_upstream_of_it(path: Path) -> None:
    room = path.relative_to(CORE).parts[0]
    if room == "recipes":
        pytest.skip("recipes hold no code")
    assert room in UPSTREAM_FIRST, f"say where {room} stands in the flow"
    downstream = set(UPSTREAM_FIRST[UPSTREAM_FIRST.index(room) + 1 :])
    assert not rooms_imported(path) & downstream


@pytest.mark.parametrize("path", [path for path in MODULES if path.parent == CORE], ids=name_of)
def test_small_files_at_the_root_know_no_room(path: Path) -> None:
    if path.stem in KNOW_ROOMS:
        assert rooms_imported(path), "it is listed as one that knows rooms"
    else:
        assert not rooms_imported(path)


def test_importing_the_core_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "import spn4cir_core.flow, spn4cir_core.cli\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_no_file_has_a_name_for_everything() -> None:
    paths = [path for root in (CORE, ORCHESTRATION) for path in root.rglob("*")]
    bad = [path for path in paths if set(path.stem.split("_")) & NAMES_FOR_EVERYTHING]
    assert not bad
