"""The command that lists the files of a corpus that are not used."""

from __future__ import annotations

from typing import Annotated

import typer

from spn4cir_core.cli.options import ImagesOption, RecipeOption, StoreOption, opened
from spn4cir_core.cli.outcome import dropped_files
from spn4cir_core.errors import StoreError
from spn4cir_core.images.manifest import read_dropped_files, read_duplicates


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("images")(list_images)


def list_images(
    dropped: Annotated[bool, typer.Option("--dropped", help="List every file that is not used, with the reason.")] = (
        False
    ),
    recipe_name: RecipeOption = "",
    store_url: StoreOption = "store",
    images: ImagesOption = None,
) -> None:
    """Count the pictures of a corpus; --dropped lists the files that are not used: path, reason, detail."""
    recipe, store = opened(recipe_name, store_url, images)
    artifact = store.current(recipe.name, "images")
    if artifact is None:
        raise StoreError(f"recipe {recipe.name!r} has no images in {store}; make them with: spn4cir run")
    if not dropped:
        details = artifact.details
        typer.echo(f"{details['files']:,} files, {details['images']:,} pictures, {details['duplicates']:,} duplicates")
        for line in dropped_files(details, most=10):
            typer.echo(line)
        return
    for row in read_dropped_files(artifact).to_pylist():
        typer.echo(f"{row['path']}\t{row['reason']}\t{row['detail']}")
    for row in read_duplicates(artifact).to_pylist():
        typer.echo(f"{row['path']}\texact duplicate\tof {row['duplicate_of']}")
