"""Commands about triplets: import annotated ones, export all, look at them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Annotated, Literal

import typer

from spn4cir_core.annotations import import_annotations as importing
from spn4cir_core.cli.options import ImagesOption, RecipeOption, StoreOption, opened
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.images.benchmark import published_names
from spn4cir_core.images.files import image_files
from spn4cir_core.images.shop_exports import Shop, import_shop
from spn4cir_core.recipe import Recipe
from spn4cir_core.reports.triplet_browser import triplet_browser
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.outputs import write_output
from spn4cir_core.triplets import export as exporting
from spn4cir_core.triplets.hub_dataset import export_dataset
from spn4cir_core.triplets.sheet import drawn_for_training, triplet_sheet
from spn4cir_core.triplets.stage import TRIPLETS

ExportedLayout = Literal[exporting.Layout, "hf"]
ImportedLayout = Literal[importing.Layout, Shop]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("import")(import_annotations)
    app.command("export")(export_triplets)
    app.command("triplets")(browse_triplets)


def import_annotations(
    layout: Annotated[ImportedLayout, typer.Option("--format", help="Layout of the files.")],
    files: Annotated[list[Path], typer.Option("--from", help="A file of that layout; may be repeated.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="triplets.csv (trained on) or queries.csv (evaluated on); of a shop: metadata.csv by the pictures.",
        ),
    ],
    image_tables: Annotated[
        list[Path] | None, typer.Option("--image-table", help="JSON from image name to path, like CIRR's image_splits.")
    ] = None,
    image_path: Annotated[str, typer.Option(help="Path of an image without such a table: 'images/{name}.jpg'.")] = "",
    column: Annotated[
        list[str] | None, typer.Option(help="The file's name of a field: --column reference=source_image")
    ] = None,
) -> None:
    """Turn annotated triplets (FashionIQ, CIRR …) or a shop's product export into the file that a folder holds."""
    if layout == "shopify" or layout == "woocommerce":
        count, missing = import_shop(layout, files, out)
        typer.echo(f"{out}: {count:,} pictures with title and product{f'; {missing}' if missing else ''}")
        return
    pairs = [tuple(part.split("=", 1)) for part in column or []]
    if wrong := [part for part in column or [] if "=" not in part]:
        raise InputError(f"--column {wrong[0]!r} is not FIELD=NAME; the fields are reference, target, modified_text …")
    columns = {pair[0]: pair[1] for pair in pairs}
    rows, drops = importing.import_annotations(layout, files, out, image_tables or (), image_path, columns)
    reasons = "".join(f", {count:,} left out ({reason})" for reason, count in sorted(drops.items()))
    typer.echo(f"{out}: {rows:,} rows{reasons}")


def export_triplets(
    layout: Annotated[ExportedLayout, typer.Option("--format", help="Layout of the file; hf: with pictures.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the files; of hf a new one.")],
    split: Annotated[str, typer.Option(help="train, validation or evaluation; hf holds all.")] = "train",
    origins: Annotated[
        exporting.Origins | None,
        typer.Option("--origins", help="Default: generated; of csv all. The published code has the annotated ones."),
    ] = None,
    suffix: Annotated[
        exporting.Suffix | None,
        typer.Option("--suffix", help="Which published class reads the file; default: that of the recipe's backbone."),
    ] = None,
    licence: Annotated[str, typer.Option(help="Of pictures and texts, for the dataset card of hf.")] = "",
    recipe_name: RecipeOption = "",
    store: StoreOption = "store",
    images: ImagesOption = None,
) -> None:
    """Write triplets as FashionIQ or CIRR have them, as CSV, or with pictures as a Hugging Face data set."""
    recipe, opened_store = opened(recipe_name, store, images)
    if layout == "hf":
        files = image_files(recipe.images, opened_store)
        for path in export_dataset(_triplets(recipe, opened_store), files, out, licence):
            typer.echo(path)
        return
    suffix = suffix or exporting.SUFFIXES.get(recipe.stage1_checkpoint.backbone.plugin_kind, "clip")
    triplets, pictures = _triplets(recipe, opened_store), opened_store.current(recipe.name, "images")
    names = published_names(pictures) if pictures else {}
    for path in exporting.export_triplets(triplets, layout, out, split, origins, suffix, names):
        typer.echo(path)


def browse_triplets(
    out: Annotated[Path, typer.Option("--out", help="The HTML page to write.")] = Path("browse.html"),
    count: Annotated[int, typer.Option(min=1, max=5000, help="How many triplets.")] = 200,
    sheet: Annotated[Path | None, typer.Option(help="Also write a contact sheet of training triplets, a JPEG.")] = None,
    sheet_count: Annotated[int, typer.Option(min=1, max=400, help="How many triplets on it.")] = 24,
    recipe_name: RecipeOption = "",
    store_url: StoreOption = "store",
    images: ImagesOption = None,
) -> None:
    """Write a page of triplets to look through; bad ones are marked there and fed back as triplets.verdicts."""
    recipe, store = opened(recipe_name, store_url, images)
    triplets = _triplets(recipe, store)
    page = triplet_browser(recipe.name, TRIPLETS.settings_of(recipe), store, triplets, count).encode()
    write_output(out, page)
    typer.echo(f"page: {out}")
    if sheet is not None:
        shown = [(triplet, triplet.modified_texts[0]) for triplet in drawn_for_training(triplets, sheet_count)]
        content = BytesIO()
        triplet_sheet(shown, image_files(recipe.images, store)).save(content, "JPEG", quality=80)
        write_output(sheet, content.getvalue())
        typer.echo(f"sheet: {sheet}")


def _triplets(recipe: Recipe, store: Store) -> Artifact:
    artifact = store.current(recipe.name, "triplets")
    if artifact is None:
        raise StoreError(
            f"recipe {recipe.name!r} has no triplets in {store}; make them with: "
            "spn4cir run --select images,templates,annotations,captions,image_embeddings,splits,pairs,"
            "modified_texts,triplets"
        )
    return artifact
