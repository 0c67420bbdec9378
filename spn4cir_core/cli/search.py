"""The commands that ask a search index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from PIL import Image

from spn4cir_core.annotations.annotation_tables import read_queries
from spn4cir_core.cli.options import ImagesOption, RecipeOption, StoreOption, opened
from spn4cir_core.engine.garbage_collection import seldom_collected
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.images.files import NO_SUCH_FILE, ImageFiles, PictureError, image_files
from spn4cir_core.recipe import Recipe
from spn4cir_core.search.filters import Where, parse_where
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.outputs import write_output

if TYPE_CHECKING:
    from spn4cir_core.search.hits import Hit
    from spn4cir_core.search.search import Searcher

Once = Literal["pictures", "products", "all"]

LEAST_SHOWN = 0.01
"""Channels that add less to a score are not listed beside a hit."""


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(seldom_collected()(search))
    app.command()(seldom_collected()(example))


def search(
    text: Annotated[str, typer.Option("--text", "-t", help="What should be different.")] = "",
    image: Annotated[
        list[Path] | None, typer.Option("--image", help="The reference image; several: repeat it.")
    ] = None,
    weight: Annotated[list[float] | None, typer.Option(help="Of each of several reference images.")] = None,
    top: Annotated[int, typer.Option(min=1, max=1000, help="How many hits.")] = 10,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Where the contact sheet goes; default: hits.jpg here, among the pictures: in the store."),
    ] = None,
    once: Annotated[
        Once, typer.Option(help="Shown once: near-duplicates (pictures), all views of a product too (products).")
    ] = "pictures",
    rerank: Annotated[bool, typer.Option(help="With the recipe's reranker, where it names one.")] = True,
    where: Annotated[
        list[str] | None, typer.Option(help="What hits must have: colour=red, category=shoes; may be repeated.")
    ] = None,
    vectors: Annotated[
        str, typer.Option(help="Let tables that spn4cir vectors has filled propose the candidates: lancedb:FOLDER …")
    ] = "",
    recipe_name: RecipeOption = "",
    store_url: StoreOption = "store",
    images: ImagesOption = None,
) -> None:
    """Search with a reference image and a text; prints the hits and writes a contact sheet."""
    if not image and not text.strip():
        raise InputError("there is neither --image nor --text: name a picture, say what should be different, or both")
    recipe, store = opened(recipe_name, store_url, images)
    references = [_picture(path, recipe, store) for path in image or []]
    conditions = parse_where(where or ())
    searcher = _table_searcher(vectors, recipe, store, conditions) if vectors else _searcher(recipe, store)
    reranks = bool(rerank and searcher.reranking and references and text.strip())
    hits = searcher.search(
        references or None,
        text or None,
        top,
        once=once,
        weights=weight or (),
        rerank=reranks,
        where=conditions,
    )
    for note in filter(None, dict.fromkeys(map(searcher.uncaptioned, references if text else ()))):
        typer.echo(note)
    files = image_files(recipe.images, store)
    is_among_pictures = Path.cwd().is_relative_to(files.root)  # the next run would read the sheet as one of them
    target = sheet or (store.root if is_among_pictures else Path()) / "hits.jpg"
    _show(searcher, references, text, hits, files, target, right=())
    if note := searcher.left_out(hits, searcher.indexed(references), once, conditions):
        typer.echo(f"{note}; --once all shows them")


def example(
    recipe_name: RecipeOption = "",
    store_url: StoreOption = "store",
    images: ImagesOption = None,
    number: Annotated[int, typer.Option(min=0, help="Which of the held-out composed queries.")] = 0,
    sheet: Annotated[Path | None, typer.Option(help="Where the contact sheet goes; default: in the store.")] = None,
) -> None:
    """Ask one of the corpus's held-out composed queries and mark the right answers."""
    recipe, store = opened(recipe_name, store_url, images)
    annotations, report = store.current(recipe.name, "annotations"), store.current(recipe.name, "eval_report")
    queries = read_queries(annotations) if annotations else []
    if not queries:
        raise StoreError(f"recipe {recipe.name!r} has no composed queries; ask one with: spn4cir search")
    query, files = queries[number % len(queries)], image_files(recipe.images, store)
    searcher = _searcher(recipe, store)
    reference = files.open(query["reference_id"])
    own = query["reference_id"]
    hits = searcher.search(reference, query["modified_text"], 5, without=(own,), reference_id=own)
    if report:
        typer.echo(f"report: {report.file('report.html')}")
    typer.echo(f"\nreference image: {files.root / query['reference_id']}\nmodified text:   {query['modified_text']}")
    target = sheet or store.root / "example.jpg"
    _show(searcher, [reference], query["modified_text"], hits, files, target, right=query["target_ids"])


def _searcher(recipe: Recipe, store: Store) -> Searcher:
    from spn4cir_core.search.search import Searcher

    return Searcher.of_recipe(recipe.name, store, image_files(recipe.images, store))


def _table_searcher(vectors: str, recipe: Recipe, store: Store, where: Where) -> Searcher:
    from spn4cir_core.search.search import current_index
    from spn4cir_core.search.vector_tables import IndexTables

    tables, index = IndexTables.named(vectors, recipe.name), current_index(recipe.name, store)
    return tables.searcher(index, image_files(recipe.images, store), where)


def _picture(path: Path, recipe: Recipe, store: Store) -> Image.Image:
    """A picture anywhere on this machine, opened with the limits of the recipe.

    Raises:
        InputError: there is no such file; hits are listed by their paths below the recipe's folder, which is said.
        PictureError: it cannot be used.
    """
    try:
        return ImageFiles(path.absolute().parent, recipe.images.max_pixels).open(path.name)
    except PictureError as error:
        if error.reason != NO_SUCH_FILE:
            raise
        with suppress(PictureError):
            indexed = image_files(recipe.images, store).locate(str(path))
            raise InputError(f"--image {path}: no such file here; did you mean {indexed}?") from error
        raise InputError(f"--image {path}: no such file") from error


def _show(
    searcher: Searcher,
    references: Sequence[Image.Image],
    text: str,
    hits: Sequence[Hit],
    files: ImageFiles,
    sheet: Path,
    right: Sequence[str],
) -> None:
    for hit in hits:
        suffix = "  <- right" if hit.image_id in right else ""
        if hit.former_rank is not None and hit.former_rank != hit.rank:
            suffix += f"  (was {hit.former_rank + 1})"
        typer.echo(f"{hit.rank + 1:>4}  {hit.score:.3f}  {hit.path}  {hit.caption}{suffix}")
        if reasons := shown_channels(hit.channels):
            typer.echo(f"{'':6}{reasons}")
    content, picture_format = BytesIO(), Image.registered_extensions().get(sheet.suffix.lower(), "JPEG")
    searcher.contact_sheet(references, text, hits, files).save(content, picture_format)
    write_output(sheet, content.getvalue())
    typer.echo(f"contact sheet: {sheet}")


def shown_channels(channels: Mapping[str, float]) -> str:
    """What each channel adds to a hit's score, without those that add next to nothing."""
    return ", ".join(f"{title} {part:+.2f}" for title, part in channels.items() if abs(part) >= LEAST_SHOWN)
