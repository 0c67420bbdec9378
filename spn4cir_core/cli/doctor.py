"""The command that looks whether everything needed is there."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import typer

from spn4cir_core.cli.options import ImagesOption, RecipeOption, StoreOption, opened
from spn4cir_core.operations.doctor import Symptom, examine

COLOURS = {"ok": "green", "note": "yellow", "broken": "red"}


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(doctor)


def doctor(recipe: RecipeOption = "", store: StoreOption = "store", images: ImagesOption = None) -> None:
    """Check packages, GPU, disk, store and Dagster's home, and print cures; status 1 if something is broken."""
    known, where = opened(recipe, store, images)
    broken = show(examine(where, known))
    typer.echo(f"\n{broken} broken" if broken else "\nnothing is broken")
    raise typer.Exit(1 if broken else 0)


def show(symptoms: Iterable[Symptom]) -> int:
    """Print a table row by row; returns how many rows are broken."""
    broken = 0
    for symptom in symptoms:
        broken += symptom.state == "broken"
        state = typer.style(f"{symptom.state:<7}", fg=COLOURS[symptom.state])
        typer.echo(f"{symptom.what:<20} {state} {symptom.finding}")
        for line in textwrap.wrap(symptom.cure, 90, break_long_words=False, break_on_hyphens=False):
            typer.echo(f"{'':<28} > {line}")
    return broken
