"""The laws of the house that an import or a file name can break, computed from the syntax trees."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

CORE = Path(__file__).parents[1] / "spn4cir_core"
ORCHESTRATION = CORE.parent / "dagster_project"
MODULES = sorted(path for path in CORE.rglob("*.py"))
HEAVY = ("torch", "transformers", "timm", "faiss", "matplotlib", "open_clip", "dagster")
NAMES_FOR_EVERYTHING = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}
GROUND = ("errors.py", "user_files.py", "store", "engine", "models", "index")
"""What every room may stand on, in this order."""
ROOMS = (
    "images",
    "judgements",
    "annotations",
    "captions",
    "embeddings",
    "splits",
    "pairs",
    "texts",
    "triplets",
    "negatives",
    "reranking",
    "backbones",
    "objectives",
    "training",
    "evaluation",
    "channels",
    "blend",
    "search",
    "reports",
    "model_export",
)
"""The rooms in the order of the flow; an arrow between them never runs against it."""
ABOVE = ("recipe.py", "flow.py", "launch", "api.py", "ablation", "operations", "cli")
"""What knows all rooms; no room imports it."""
ORDER = (*GROUND, *ROOMS, *ABOVE)
STAGE_FILES = {"stage.py", "stages.py"}
AT_MOST_AT_THE_TOP = 6
NAMES_WITHOUT_MEANING = {"told", "place", "found", "kept", "mark", "asked", "spares"}
"""Verbs and words of many meanings; a name is the noun of what it holds: rows, details, fingerprint, store, device."""


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names of all imports, those inside functions and for type checking included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def names_imported(path: Path) -> frozenset[str]:
    return frozenset(imported(ast.parse(path.read_text(encoding="utf-8"))))


def files_imported(path: Path) -> set[Path]:
    """Files of the core that a file imports; of a package its ``__init__`` only where no file of it is meant."""
    files = set()
    for name in names_imported(path):
        parts = name.split(".")
        if parts[0] == CORE.name:
            file = CORE.joinpath(*parts[1:]).with_suffix(".py")
            if file.is_file():
                files.add(file)
    return files - {path}


def unit_of(path: Path) -> str:
    """The room of a file, or the file itself where it stands at the top."""
    return path.relative_to(CORE).parts[0]


def name_of(path: Path) -> str:
    return path.relative_to(CORE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_core_never_imports_dagster(path: Path) -> None:
    assert not {name.split(".")[0] for name in names_imported(path)} & {"dagster", "dagster_project", "dagster_pipes"}


@pytest.mark.parametrize("path", [path for path in MODULES if unit_of(path) != "__init__.py"], ids=name_of)
def test_no_arrow_runs_against_the_flow(path: Path) -> None:
    assert unit_of(path) in ORDER, f"say where {unit_of(path)} stands in the flow"
    later = set(ORDER[ORDER.index(unit_of(path)) + 1 :])
    against = {name_of(file) for file in files_imported(path) if unit_of(file) in later}
    assert not against, f"{name_of(path)} imports what comes after it: {sorted(against)}"


def test_no_circle_of_imports_between_files() -> None:
    """Depth-first search; a file met again while its own imports are being followed closes a circle."""
    done: set[Path] = set()

    def follow(path: Path, above: tuple[Path, ...]) -> None:
        assert path not in above, " → ".join(name_of(file) for file in (*above[above.index(path) :], path))
        if path not in done:
            for file in sorted(files_imported(path)):
                follow(file, (*above, path))
            done.add(path)

    for path in MODULES:
        follow(path, ())


def test_the_top_holds_few_modules_and_every_room_is_placed() -> None:
    top = [path.name for path in CORE.glob("*.py")]
    assert len(top) <= AT_MOST_AT_THE_TOP, top
    folders = {path.name for path in CORE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders == {unit for unit in ORDER if not unit.endswith(".py")}


def test_every_stage_stands_in_the_stage_file_of_its_room() -> None:
    elsewhere = [
        f"{name_of(path)}: {node.targets[0].id}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign) and _calls(node.value, "Stage") and isinstance(node.targets[0], ast.Name)
        if path.name not in STAGE_FILES
    ]
    assert not elsewhere


def test_every_table_of_plug_ins_stands_in_a_base_file() -> None:
    elsewhere = [
        name_of(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign) and _calls(node.value, "Room") and path.name != "base.py"
    ]
    assert not elsewhere


def _calls(value: ast.expr, name: str) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == name


def test_importing_the_core_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "import spn4cir_core.flow, spn4cir_core.cli.app\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_no_file_has_a_name_for_everything() -> None:
    paths = [path for root in (CORE, ORCHESTRATION) for path in root.rglob("*")]
    bad = [path for path in paths if set(path.stem.split("_")) & NAMES_FOR_EVERYTHING]
    assert not bad


def names_in(tree: ast.AST) -> Iterator[str]:
    """Every name that the code gives or uses; ``pytest.mark`` is not ours."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.alias(name=name, asname=other):
                yield other or name
            case ast.Attribute(value=ast.Name(id="pytest"), attr="mark"):
                pass
            case ast.Attribute(attr=name):
                yield name


@pytest.mark.parametrize("folder", ["spn4cir_core", "dagster_project", "benchmarks", "examples", "tests"])
def test_no_name_is_a_word_of_many_meanings(folder: str) -> None:
    paths = sorted((CORE.parent / folder).rglob("*.py"))
    trees = {path.relative_to(CORE.parent).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    names = {(path, name) for path, tree in trees.items() for name in names_in(tree)}
    assert names and not {pair for pair in names if pair[1].strip("_").lower() in NAMES_WITHOUT_MEANING}
