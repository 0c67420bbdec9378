"""The command that writes the state of a recipe as a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from spn4cir_core.cli.options import ImagesOption, RecipeOption, StoreOption, opened
from spn4cir_core.operations.run_summary import run_summary
from spn4cir_core.recipe import Recipe
from spn4cir_core.reports.summary_page import summary_html, summary_markdown
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.outputs import write_output


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(summary)


def summary(
    recipe_name: RecipeOption = "",
    store_url: StoreOption = "store",
    images: ImagesOption = None,
    out: Annotated[
        Path | None, typer.Option(help="The page; .md and .json go beside it. Default: summaries/ in the store.")
    ] = None,
) -> None:
    """Write a page on what each stage made and cost, what was reused, which checks hold, what would run and why."""
    recipe, store = opened(recipe_name, store_url, images)
    for path in write_pages(run_summary(recipe, store), out or page_of(recipe, store)):
        typer.echo(path)


def page_of(recipe: Recipe, store: Store) -> Path:
    """Default path of the page of a recipe."""
    return store.root / "summaries" / f"{recipe.name}.html"


def write_pages(contents: Mapping[str, Any], page: Path) -> list[Path]:
    """Write the HTML page, and its Markdown and JSON twins beside it.

    Raises:
        InputError: they cannot be written there.
    """
    contents = {
        ".html": summary_html(contents),
        ".md": summary_markdown(contents),
        ".json": json.dumps(contents, ensure_ascii=False, indent=1) + "\n",
    }
    paths = [page.with_suffix(ending) for ending in contents]
    for path, text in zip(paths, contents.values(), strict=True):
        write_output(path, text.encode())
    return paths
