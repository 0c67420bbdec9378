"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from spn4cir_core.recipe import Recipe, load_recipe

RecipeOption = Annotated[
    str, typer.Option("--recipe", "-r", envvar="SPN4CIR_RECIPE", help="A packaged name or a TOML file.")
]
StoreOption = Annotated[Path, typer.Option("--store", "-s", envvar="SPN4CIR_STORE", help="Folder for all artefacts.")]
ImagesOption = Annotated[
    Path | None, typer.Option("--images", "-i", help="A folder of pictures; sub-folders are categories.")
]


def chosen_recipe(source: str, images: Path | None) -> Recipe:
    """The recipe that ``--recipe`` and ``--images`` ask for; without either, the demo."""
    overrides: dict[str, Any] = {"images": {"reader": {"kind": "folder", "folder": str(images)}}} if images else {}
    return load_recipe(source or ("folder" if images else "demo"), overrides)
