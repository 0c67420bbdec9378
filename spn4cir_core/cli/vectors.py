"""The command that keeps a vector table outside the store up to date."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from spn4cir_core.cli.hints import with_options
from spn4cir_core.cli.options import ImagesOption, RecipeOption, StoreOption, opened
from spn4cir_core.training.roles import STAGE2


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("vectors")(update_vectors)


def update_vectors(
    table: Annotated[str, typer.Argument(help="lancedb:FOLDER_OR_URL, pgvector:[ADDRESS] or faiss:FOLDER.")],
    recall: Annotated[bool, typer.Option("--recall", help="Compare its answers with those of every vector.")] = False,
    recipe_name: RecipeOption = "",
    store_url: StoreOption = "store",
    images: ImagesOption = None,
) -> None:
    """Put the search index's vectors into LanceDB, pgvector or FAISS; later only what has changed since."""
    from spn4cir_core.search.search import current_index
    from spn4cir_core.search.vector_tables import RECALL_TOP, IndexTables

    recipe, store = opened(recipe_name, store_url, images)
    index, tables = current_index(recipe.name, store), IndexTables.named(table, recipe.name)
    for name, change in tables.update(index).items():
        typer.echo(
            f"{name}: {change.added:,} images added, {change.replaced:,} replaced, {change.removed:,} removed, "
            f"{change.unchanged:,} as they were"
        )
    if recall:
        typer.echo(f"recall@{RECALL_TOP} of {STAGE2.name} against every vector: {tables.recall(index):.3f}")
    command = f"spn4cir search --vectors {shlex.quote(tables.address)} --text 'a red one'"
    typer.echo(f"search it: {with_options(command)}")
