"""The commands that show trainings in TensorBoard, average them, and look at their negatives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from spn4cir_core.cli.options import ImagesOption, RecipeOption, StoreOption, opened
from spn4cir_core.flow import STAGES
from spn4cir_core.launch.recipe_source import own_name
from spn4cir_core.recipe import is_recipe_file, load_recipe
from spn4cir_core.training.roles import TRAINED


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(tensorboard)
    app.command()(soup)
    app.command()(negatives)


def tensorboard(
    recipe: RecipeOption = "",
    store: StoreOption = "store",
    images: ImagesOption = None,
    out: Annotated[Path, typer.Option(help="Folder of the event files; written anew.")] = Path("runs"),
) -> None:
    """Write the trainings' metrics as TensorBoard event files; also of one under way, up to its last kept step."""
    from spn4cir_core.training.tensorboard_events import export_events

    stages = [STAGES[role.artifact] for role in TRAINED.values()]
    for run, steps in export_events(stages, *opened(recipe, store, images), out).items():
        typer.echo(f"{run}: {steps:,} steps")
    typer.echo(f"look at them with: tensorboard --logdir {out}")


def soup(
    others: Annotated[
        list[str], typer.Option("--with", help="A recipe of the store by name or file, or a checkpoint's folder.")
    ],
    recipe: RecipeOption = "",
    store: StoreOption = "store",
    images: ImagesOption = None,
    out: Annotated[Path, typer.Option(help="Folder of the soup.")] = Path("soup"),
) -> None:
    """Average stage-1 checkpoints of several trainings, greedily by the recipe's validation queries."""
    from spn4cir_core.operations.soup import write_soup

    loaded, opened_store = opened(recipe, store, images)
    sources = [own_name(load_recipe(one), opened_store).name if is_recipe_file(Path(one)) else one for one in others]
    ingredients = write_soup(loaded, sources, opened_store, out)
    for one in ingredients:
        typer.echo(f"{'in ' if one.is_in else 'out'}  alone {one.alone:.3f}  with it {one.added:.3f}  {one.name}")
    if sum(one.is_in for one in ingredients) == 1:
        typer.echo(f"nothing was averaged: the soup is {ingredients[0].name} alone, no mean with it was as good")
    typer.echo(f"start from it with\n[stage1_checkpoint]\nstart_from = {json.dumps(str(out.resolve()))}\nsteps = 0")


def negatives(recipe: RecipeOption = "", store: StoreOption = "store", images: ImagesOption = None) -> None:
    """How many of the hardest candidates are false negatives, by miner and rank, as far as the recipe's rules know."""
    from spn4cir_core.operations.miner_rates import miner_rates

    for one in miner_rates(*opened(recipe, store, images)):
        ranks = f"{one.first}" if one.first == one.last else f"{one.first}-{one.last}"
        typer.echo(f"{one.miner:<30} rank {ranks:<8} {100 * one.rate:5.1f} % of {one.candidates:,}")
