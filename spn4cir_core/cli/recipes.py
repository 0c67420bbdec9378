"""The command that lists the packaged recipes."""

from __future__ import annotations

import typer

from spn4cir_core.recipe import packaged_recipes


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(recipes)


def recipes() -> None:
    """List the packaged recipes."""
    packaged = packaged_recipes()
    width = max(map(len, packaged))
    for name, says in packaged.items():
        typer.echo(f"{name:<{width}}  {says}")
