"""A grid of recipes, run through the ordinary stages in one store: what equal cells share is computed once.

A grid is a TOML file: a base recipe, overrides for all cells, axes whose levels are further overrides, and seeds.
Every combination of levels, with every seed, is a cell. See ``spn4cir ablate --help``.
"""

from __future__ import annotations

import itertools
import os
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from spn4cir_core.engine.plugins import Settings, explain
from spn4cir_core.engine.progress import Progress, silent
from spn4cir_core.engine.stage import UNREADABLE, Stage
from spn4cir_core.errors import RecipeError, Spn4cirError, StoreError
from spn4cir_core.evaluation.report_tables import RECALL_FILE, read_rows_of_set
from spn4cir_core.flow import STAGES
from spn4cir_core.launch.run_flow import run
from spn4cir_core.recipe import Recipe, anchored, load_recipe, merge
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.training.roles import ROLES, SERVED

MEASURED = "eval_report"
MEASURES = {
    **{role.label: (role.name, "composed") for role in ROLES.values()},
    "image only": (SERVED.name, "image"),
    "text only": (SERVED.name, "text"),
    "sum of both": (SERVED.name, "sum"),
}
"""Column → (model, form of the query), as in the eval report."""
Levels = dict[str, str]
"""Axis → level."""


class Grid(Settings):
    """What is varied, and how it is measured."""

    base: str = "demo"
    """A packaged recipe, or a TOML file."""
    recipe: dict[str, Any] = Field(default_factory=dict)
    """Overrides for every cell."""
    axes: dict[str, dict[str, dict[str, Any]]] = Field(min_length=1)
    """Axis → level → overrides, in the order of the table's rows."""
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    k: int = Field(default=1, ge=1)
    """The k of recall@k; must be one of ``eval_report.ks``."""
    query_set: str = ""
    """Evaluator whose queries are shown; empty: the one of the report's headline."""


@dataclass(frozen=True)
class Cell:
    """One recipe of a grid."""

    levels: Levels
    seed: int
    recipe: Recipe


@dataclass(frozen=True)
class Result:
    """What came of a cell."""

    levels: Levels
    seed: int
    recipe: str
    """Its name in the store."""
    query_set: str = ""
    queries: int = 0
    recall: Mapping[str, tuple[float, float, float]] | None = None
    """Measure → recall@k in per cent with the bounds of its 95 % interval over queries; None where the cell failed."""
    error: str = ""


def load_grid(path: Path) -> Grid:
    """Read a grid file; values that start with ``./`` or ``../`` are paths relative to it.

    Raises:
        RecipeError: it cannot be read, is not TOML, or has a key or a value that a grid does not have.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return Grid.model_validate(anchored(tables, path.absolute().parent))
    except OSError as error:
        raise RecipeError(f"cannot read grid {path}: {error.strerror}; see: spn4cir ablate --help") from error
    except ValidationError as error:
        raise RecipeError(explain(error, f"grid {path}", Grid)) from error
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"grid {path} is not valid TOML: {error}") from error


def cells(grid: Grid) -> list[Cell]:
    """Every combination of levels with every seed, the seeds innermost.

    Raises:
        RecipeError: a combination is not a valid recipe, or does not measure recall@k for the grid's k.
    """
    return list(_cells(grid))


def _cells(grid: Grid) -> Iterator[Cell]:
    for levels in itertools.product(*grid.axes.values()):
        level_of = dict(zip(grid.axes, levels, strict=True))
        overrides = reduce(merge, (grid.axes[axis][level] for axis, level in level_of.items()), grid.recipe)
        for seed in grid.seeds:
            try:
                recipe = load_recipe(grid.base, merge(overrides, {"seed": seed, "name": "cell"}))
            except RecipeError as error:
                raise RecipeError(f"cell {_cell_name(level_of, seed)}: {error}") from error
            if grid.k not in recipe.eval_report.ks:
                raise RecipeError(f"k = {grid.k}, but eval_report.ks = {list(recipe.eval_report.ks)} has no such k")
            # The store's pointers to the cell's artefacts carry this name: it must be unique and stable.
            yield Cell(level_of, seed, recipe.model_copy(update={"name": f"ablate_{fingerprint(recipe)}"}))


def run_grid(
    grid: Grid,
    store: Store,
    progress: Progress = silent,
    on_cells_done: Callable[[Sequence[Result], int, float], None] = lambda results, cells, seconds: None,
    jobs: int = 1,
) -> list[Result]:
    """Run every cell; what the store already holds is not computed again, so a broken run goes on where it ended.

    A cell that fails is recorded with its error, and the others are run.

    Args:
        on_cells_done: called after each cell with the results so far, the number of cells, and the seconds so far.
        jobs: processes that run stages side by side; above one, all cells go through a stage before the next one.

    Raises:
        RecipeError: a combination is not a valid recipe.
        StoreError: the store cannot be written.
    """
    started, all_cells, results = time.monotonic(), cells(grid), list[Result]()
    names = needed_stages()
    if jobs > 1:
        run_ahead([cell.recipe for cell in all_cells], names, store, jobs, progress)
    for number, cell in enumerate(all_cells, start=1):
        results.append(_result(grid, cell, names, store, Labelled(progress, f"cell {number}/{len(all_cells)} ")))
        on_cells_done(results, len(all_cells), time.monotonic() - started)
    return results


def needed_stages() -> list[str]:
    """The stages that an eval report is made from, in flow order, itself last."""
    needed, names = {MEASURED}, list[str]()
    for name in reversed(STAGES):
        if name in needed:
            names.insert(0, name)
            needed |= set(STAGES[name].parents)
    return names


@dataclass(frozen=True)
class Labelled:
    """Progress with a prefix before each label."""

    progress: Progress
    prefix: str

    def __call__(self, label: str, done: int, total: int) -> None:
        """Pass it on."""
        self.progress(self.prefix + label, done, total)


def _result(grid: Grid, cell: Cell, names: Sequence[str], store: Store, progress: Progress) -> Result:
    try:
        report = run(cell.recipe, store, names, progress)[MEASURED]
        return _measured(grid, cell, report)
    except StoreError:
        raise  # the other cells would fail as well
    except Spn4cirError as error:
        return Result(cell.levels, cell.seed, cell.recipe.name, error=str(error))


def _measured(grid: Grid, cell: Cell, report: Artifact) -> Result:
    query_set = grid.query_set or report.details["headline"]["query_set"]
    rows = read_rows_of_set(report, RECALL_FILE, query_set)
    if not rows:
        raise RecipeError(f"the report has no query set {query_set!r}; it has {sorted(report.details['queries'])}")
    shown = {(row["model"], row["query"]): row for row in rows if row["kind"] == "all" and row["k"] == grid.k}
    return Result(
        cell.levels,
        cell.seed,
        cell.recipe.name,
        query_set,
        rows[0]["queries"],
        {
            measure: tuple(100 * shown[key][part] for part in ("recall", "low", "high"))
            for measure, key in MEASURES.items()
            if key in shown
        },
    )


def run_ahead(recipes: Sequence[Recipe], names: Sequence[str], store: Store, jobs: int, progress: Progress) -> None:
    """Run each stage for all recipes at once, several at a time, equal work once.

    A failed stage is left out with all that follows from it; running it again raises the error.
    """
    with ProcessPoolExecutor(jobs, get_context("spawn"), _share_cores, (jobs,)) as pool:
        for name in names:
            stage, missing = STAGES[name], dict[str, Recipe]()
            for recipe in recipes:
                digest = _wanted(stage, recipe, store)
                if digest is not None and store.get(name, digest) is None:
                    missing.setdefault(digest, recipe)
            running = [pool.submit(_run_stage, name, recipe, store) for recipe in missing.values()]
            for done, future in enumerate(as_completed(running), start=1):
                if isinstance(future.exception(), StoreError):
                    future.result()
                progress(name, done, len(running))
            for recipe in recipes:
                digest = _wanted(stage, recipe, store)
                if digest is not None and store.get(name, digest) is not None:
                    stage.run(recipe, store)  # points the recipe to it


def _wanted(stage: Stage[Any], recipe: Recipe, store: Store) -> str | None:
    """None also where the stage reads something that cannot be read."""
    with suppress(*UNREADABLE):
        return stage.wanted(recipe, store)
    return None


def _share_cores(jobs: int) -> None:
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // jobs))  # before torch is imported


def _run_stage(name: str, recipe: Recipe, store: Store) -> None:
    STAGES[name].run(recipe, store)


def _cell_name(levels: Levels, seed: int) -> str:
    return ", ".join([*(f"{axis} = {level!r}" for axis, level in levels.items()), f"seed {seed}"])
