"""The command that lists the packaged recipes."""

from __future__ import annotations

import typer

from spn4cir_core.recipe import packaged_recipes


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(recipes)


def recipes() -> None:
    """List the packaged recipes."""
    for name, says in packaged_recipes().items():
        typer.echo(f"{name:<16} {says}")
