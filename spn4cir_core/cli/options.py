"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spn4cir_core.cli.hints import remember
from spn4cir_core.errors import InputError
from spn4cir_core.launch.recipe_source import last_recipe, named_in, own_name
from spn4cir_core.recipe import Recipe, is_recipe_file, packaged_recipes, recipe_of
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.remote_store import open_store

RECIPE_VARIABLE = "SPN4CIR_RECIPE"


def recipe_named_by(context: typer.Context, option: typer.CallbackParam, value: str) -> str:
    """The value; standard error names a recipe that is not on the command line, as it was set for another command."""
    source = context.get_parameter_source(option.name or "")
    if value and source is not None and source.name == "ENVIRONMENT":
        typer.echo(f"recipe: {value}, by the environment variable {RECIPE_VARIABLE}", err=True)
    return value


RecipeOption = Annotated[
    str,
    typer.Option(
        "--recipe",
        "-r",
        envvar=RECIPE_VARIABLE,
        callback=recipe_named_by,
        help="A packaged name or a TOML file; default: folder with --images, else the store's last one, else demo.",
    ),
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
    """The recipe that ``--recipe`` and ``--images`` ask for; without either, the demo.

    Raises:
        InputError: ``--images`` is no folder.
    """
    if images is not None and not images.is_dir():
        raise InputError(f"--images {images}: there is no such folder")
    return recipe_of(source, images)


def opened(source: str, store_url: str, images: Path | None) -> tuple[Recipe, Store]:
    """The recipe that the options ask for, under its name in the store, and the store.

    Without ``--recipe`` and ``--images`` it is the one that ran last in the store, which standard error names; the demo
    where none did. ``--recipe`` may also be the name of a recipe of the store.
    """
    store = open_store(store_url)
    if source or images:
        remember(source, store_url, images)
        known = named_in(source, store) if images is None and not _is_loadable(source) else None
        return known or own_name(chosen_recipe(source, images), store), store
    last = last_recipe(store)
    if last is None:
        remember("", store_url, None)
        return own_name(chosen_recipe("", None), store), store
    source, folder = last.loaded_from.recipe, last.loaded_from.images
    remember(source, store_url, Path(folder) if folder else None)
    typer.echo(f"recipe: {last.name}, the last one of {store} ({folder or source})", err=True)
    return last, store


def _is_loadable(source: str) -> bool:
    return source in packaged_recipes() or is_recipe_file(Path(source))
