"""The command that runs a grid of recipes and compares them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from spn4cir_core.ablation.grid import Result, load_grid, run_grid
from spn4cir_core.ablation.table import markdown, picture, write_tables
from spn4cir_core.cli.options import StoreOption
from spn4cir_core.engine.progress import shown
from spn4cir_core.errors import InputError, Spn4cirError
from spn4cir_core.store.remote_store import open_store

EXAMPLE = """
A grid file, say grid.toml, with two axes of two levels; a level holds any keys of a recipe:

base = "demo"

seeds = [0, 1, 2]

recipe.stage1_checkpoint.steps = 300

axes.positives.near = {}

axes.positives."mid-rank" = { pairs.window = [5, 100] }

axes.negatives.bank = {}

axes.negatives."bank and batch" = { stage2_checkpoint.objective = { kind = "bank", in_batch_weight = 0.5 } }

Run it:

spn4cir ablate grid.toml --store ablation/
"""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("ablate", epilog=EXAMPLE)(ablate)


def ablate(
    grid: Annotated[Path, typer.Argument(help="A TOML file: base recipe, axes, seeds.")],
    store_url: StoreOption = "store",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for ablation.md, .csv, .json and .svg; default: ablations/ in the store."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that work on cells side by side.")] = 1,
) -> None:
    """Run every combination of a grid's levels, with every seed, and compare them in one table.

    All cells share a store, so what they have in common is computed once, and a broken run goes on where it ended.
    The table is written anew after each cell.
    """
    settings = load_grid(grid)
    store = open_store(store_url)
    folder = out or store.root / "ablations" / grid.stem

    def on_cells_done(results: Sequence[Result], cells: int, seconds: float) -> None:
        try:
            write_tables(results, settings.k, folder)
        except OSError as error:
            raise InputError(f"cannot write into {folder}: {error}; name a folder that you may write") from error
        typer.echo(_line(results, cells, seconds), err=True)

    with shown() as progress:
        results = run_grid(settings, store, progress, on_cells_done, jobs)
    if any(result.recall for result in results):
        picture(results, settings.k, folder / "ablation.svg")
    typer.echo(markdown(results, settings.k))
    typer.echo(f"tables: {folder}")
    if failed := [result for result in results if result.error]:
        raise Spn4cirError(f"{len(failed)} of {len(results)} cells failed; the first: {failed[0].error}")


def _line(results: Sequence[Result], cells: int, seconds: float) -> str:
    last, done = results[-1], len(results)
    left = f", about {(cells - done) * seconds / done / 60:.0f} min left" if done < cells else ""
    shown = last.error or ", ".join(f"{measure} {value[0]:.1f}" for measure, value in (last.recall or {}).items())
    return f"{done} of {cells}{left}: {', '.join(last.levels.values())}, seed {last.seed}: {shown}"
