"""The command that says what is up to date."""

from __future__ import annotations

import typer

from spn4cir_core.cli.options import ImagesOption, RecipeOption, StoreOption, opened
from spn4cir_core.flow import STAGES
from spn4cir_core.operations.changes import reusable_artifacts, why_outdated


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(status)


def status(recipe_name: RecipeOption = "", store_url: StoreOption = "store", images: ImagesOption = None) -> None:
    """Say of each stage whether it is up to date, and if not, why."""
    recipe, store = opened(recipe_name, store_url, images)
    why = why_outdated(recipe, store)
    reusable = reusable_artifacts(recipe, store) if why else {}
    for name in STAGES:
        artifact = store.current(recipe.name, name)
        state = "would run" if name in why else "up to date"
        if name in reusable:
            state, artifact = "there", reusable[name]
        typer.echo(f"{name:<20} {state:<12} {artifact.location if artifact else ''}".rstrip())
        for reason in (
            ["made by another recipe, or before; would be used again"] if name in reusable else why.get(name, ())
        ):
            typer.echo(f"{'':<20} > {reason}")
