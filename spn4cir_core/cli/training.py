"""The command that shows trainings in TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spn4cir_core.cli.options import ImagesOption, RecipeOption, StoreOption, opened
from spn4cir_core.flow import STAGES
from spn4cir_core.training.roles import TRAINED


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(tensorboard)


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
