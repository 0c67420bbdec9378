"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spn4cir_core.recipe import Recipe, recipe_of

RecipeOption = Annotated[
    str, typer.Option("--recipe", "-r", envvar="SPN4CIR_RECIPE", help="A packaged name or a TOML file.")
]
StoreOption = Annotated[
    str,
    typer.Option(
        "--store", "-s", envvar="SPN4CIR_STORE", help="Folder for all artefacts, or a URL like s3://bucket/prefix."
    ),
]
ImagesOption = Annotated[
    Path | None, typer.Option("--images", "-i", help="A folder of pictures; sub-folders are categories.")
]
ProcessesOption = Annotated[
    int | None,
    typer.Option(
        help="Processes on each machine, one per GPU; captions, embeddings and training are spread over them."
    ),
]
MachinesOption = Annotated[int | None, typer.Option(help="Machines that run this command; they share the store.")]
MachineRankOption = Annotated[int | None, typer.Option(help="This machine's number, from 0.")]
MainAddressOption = Annotated[str | None, typer.Option(help="Address of machine 0.")]
MainPortOption = Annotated[int | None, typer.Option(help="A free port of machine 0; default: 29500.")]


def chosen_recipe(source: str, images: Path | None) -> Recipe:
    """The recipe that ``--recipe`` and ``--images`` ask for; without either, the demo."""
    return recipe_of(source, images)
