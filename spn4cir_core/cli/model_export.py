"""The command that writes a trained network to take away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spn4cir_core.cli.options import ImagesOption, RecipeOption, StoreOption, opened
from spn4cir_core.errors import StoreError
from spn4cir_core.training.roles import LAST_TRAINED, TRAINED, TrainedName


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("export-model")(export_model)


def export_model(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    model: Annotated[TrainedName, typer.Option(help="Which trained network.")] = LAST_TRAINED,
    licence: Annotated[str, typer.Option(help="Of the pictures and texts trained on; the model card says it.")] = "",
    onnx: Annotated[bool, typer.Option("--onnx", help="Also as ONNX, checked by onnxruntime (extra onnx).")] = False,
    recipe_name: RecipeOption = "",
    store_url: StoreOption = "store",
    images: ImagesOption = None,
) -> None:
    """Write a trained network as a folder that needs torch and none of this package; search.py in it searches."""
    from spn4cir_core.model_export.export import export_model as export

    recipe, store = opened(recipe_name, store_url, images)
    checkpoint = store.current(recipe.name, TRAINED[model].artifact)
    if checkpoint is None:
        raise StoreError(f"recipe {recipe.name!r} has no {TRAINED[model].artifact} in {store}; make it: spn4cir run")
    written = export(checkpoint, store.current(recipe.name, "eval_report"), store, folder, licence, onnx)
    for path in written.files:
        typer.echo(f"{path.stat().st_size:>12,}  {path}")
    for encoder, reason in written.onnx_errors.items():
        typer.echo(f"no ONNX of {encoder}: {reason}")
    typer.echo(f'search with it: python {folder / "search.py"} photos/ a.jpg "but red"')
