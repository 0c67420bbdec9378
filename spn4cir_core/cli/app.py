"""The command line: run the flow, search, look at recipes; the same stages Dagster runs."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
import typer.core
from PIL import Image

from spn4cir_core.annotations.annotation_tables import read_queries
from spn4cir_core.cli import (
    ablate,
    dagster,
    doctor,
    estimate,
    evaluation,
    judgements,
    model_export,
    serve,
    summary,
    training,
    triplets,
)
from spn4cir_core.cli import images as images_command
from spn4cir_core.cli import vectors as vectors_command
from spn4cir_core.cli.hints import CompleteHints, remember, with_options
from spn4cir_core.cli.options import (
    ImagesOption,
    MachineRankOption,
    MachinesOption,
    MainAddressOption,
    MainPortOption,
    ProcessesOption,
    RecipeOption,
    StoreOption,
    chosen_recipe,
    opened,
)
from spn4cir_core.cli.outcome import outcome, write_triplet_sheet
from spn4cir_core.engine.log_level import LOG_LEVEL, set_log_level
from spn4cir_core.engine.plugins import in_one_line
from spn4cir_core.engine.progress import shown
from spn4cir_core.errors import InputError, Spn4cirError, StoreError
from spn4cir_core.flow import STAGES, selected
from spn4cir_core.images.files import ImageFiles, image_files
from spn4cir_core.launch.launcher import launch_from
from spn4cir_core.launch.recipe_source import claimed
from spn4cir_core.launch.run_flow import run
from spn4cir_core.operations.changes import late_above, reusable_artifacts, why_outdated
from spn4cir_core.operations.run_summary import run_summary
from spn4cir_core.recipe import Recipe, packaged_recipes
from spn4cir_core.search.filters import Where, parse_where
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.remote_store import open_store

if TYPE_CHECKING:
    from spn4cir_core.search.hits import Hit
    from spn4cir_core.search.search import Searcher

Once = Literal["pictures", "products", "all"]

LEAST_SHOWN = 0.01
"""Channels that add less to a score are not listed beside a hit."""
EXAMPLES = """
Examples:

spn4cir run  (the built-in demo, from pictures to a report)

spn4cir run --images photos/  (your own pictures)

spn4cir run --recipe shoes.toml --store shoes/  (a recipe of your own)

spn4cir run --recipe shoes.toml --processes 4  (on four GPUs)

spn4cir search --image a.jpg --text "but red"

spn4cir serve --recipe shoes.toml  (the same in your browser)

spn4cir judgements list --recipe shoes.toml  (what people judged on that page)

spn4cir status --recipe shoes.toml  (what would run, and why)

spn4cir summary --recipe shoes.toml  (a page on what each stage made and cost)

spn4cir export-model shoes_model/  (a network to take away, with a loader)

spn4cir triplets --out browse.html  (look at triplets, mark bad ones)

spn4cir ablate grid.toml  (compare recipes over seeds)

spn4cir estimate --for 1000000  (time, memory and disk for more pictures)

spn4cir doctor  (look whether everything needed is there)

spn4cir ui  (the same flow in Dagster's UI)
"""

LOG_OPTION = "--log-level"

INTERRUPTED = "interrupted. What is finished is kept: run the same again, and it goes on from there."
INTERRUPTED_STATUS = 130
REUSABLE = "in the store already, by another recipe or from before: it would be used as it is"


class Commands(typer.core.TyperGroup):
    """The commands, of which each may be interrupted: one line, and the status that shells know for it."""

    def invoke(self, ctx: Any) -> Any:
        """Run the requested command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.secho(INTERRUPTED, err=True)
            raise SystemExit(INTERRUPTED_STATUS) from None


app = typer.Typer(no_args_is_help=True, cls=Commands, pretty_exceptions_enable=False)

triplets.register(app)
model_export.register(app)
vectors_command.register(app)
serve.register(app)
judgements.register(app)
ablate.register(app)
training.register(app)
evaluation.register(app)
doctor.register(app)
images_command.register(app)
summary.register(app)
estimate.register(app)
dagster.register(app)


@app.callback(help="Composed image retrieval from a folder of pictures.", epilog=EXAMPLES)
def options(
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(LOG_OPTION, envvar=LOG_LEVEL, help="Log level of standard error; default: info."),
    ] = None,
) -> None:
    """What all commands have; read before the command's own options."""
    set_log_level(log_level)
    for handler in logging.getLogger().handlers:
        if not any(isinstance(one, CompleteHints) for one in handler.filters):
            handler.addFilter(CompleteHints())


@app.command("run")
def run_stages(
    recipe_name: RecipeOption = "",
    store_url: StoreOption = "store",
    images: ImagesOption = None,
    select: Annotated[
        str, typer.Option(help="Stages to run, separated by commas; triplets+: with all downstream; default: all.")
    ] = "",
    processes: ProcessesOption = None,
    machines: MachinesOption = None,
    machine_rank: MachineRankOption = None,
    main_address: MainAddressOption = None,
    main_port: MainPortOption = None,
) -> None:
    """Bring every stage up to date; what is already there is not computed again."""
    launch = launch_from(
        {
            "processes": processes,
            "machines": machines,
            "machine_rank": machine_rank,
            "main_address": main_address,
            "main_port": main_port,
        }
    )
    remember(recipe_name, store_url, images)
    store = open_store(store_url)
    recipe = claimed(chosen_recipe(recipe_name, images), store)
    names = selected([name.strip() for name in select.split(",")]) if select else list(STAGES)
    above = late_above(names, recipe, store) if select else {}
    reused = dict[str, bool]()

    def on_stage_done(artifact: Artifact, there: bool) -> None:
        reused[artifact.noun] = there
        _say(artifact, there, above.get(artifact.noun, []))

    with shown() as progress:
        artifacts = run(recipe, store, names, progress, on_stage_done, launch)
    if launch.machine_rank == 0:
        _show_pages(recipe, store, artifacts, reused)


@app.command()
def search(
    text: Annotated[str, typer.Option("--text", "-t", help="What should be different.")] = "",
    image: Annotated[
        list[Path] | None, typer.Option("--image", help="The reference image; several: repeat it.")
    ] = None,
    weight: Annotated[list[float] | None, typer.Option(help="Of each of several reference images.")] = None,
    top: Annotated[int, typer.Option(min=1, max=1000, help="How many hits.")] = 10,
    sheet: Annotated[Path, typer.Option(help="Where the contact sheet goes.")] = Path("hits.jpg"),
    once: Annotated[
        Once, typer.Option(help="Shown once: near-duplicates (pictures), all views of a product too (products).")
    ] = "pictures",
    rerank: Annotated[bool, typer.Option(help="With the recipe's reranker, where it names one.")] = True,
    where: Annotated[
        list[str] | None, typer.Option(help="What hits must have: colour=red, category=shoes; may be repeated.")
    ] = None,
    vectors: Annotated[
        str, typer.Option(help="Search a table that spn4cir vectors has filled, by stage 2 alone: lancedb:FOLDER …")
    ] = "",
    recipe_name: RecipeOption = "",
    store_url: StoreOption = "store",
    images: ImagesOption = None,
) -> None:
    """Search with a reference image and a text; prints the hits and writes a contact sheet."""
    recipe, store = opened(recipe_name, store_url, images)
    references = [_picture(path, recipe, store) for path in image or []]
    conditions = parse_where(where or ())
    if vectors:
        _show_table_hits(vectors, recipe, store, references, text, top, conditions)
        return
    searcher = _searcher(recipe, store)
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
    _show(searcher, references, text, hits, image_files(recipe.images, store), sheet, right=())
    if note := searcher.left_out(hits, searcher.indexed(references), once, conditions):
        typer.echo(f"{note}; --once all shows them")


@app.command()
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


@app.command()
def status(recipe_name: RecipeOption = "", store_url: StoreOption = "store", images: ImagesOption = None) -> None:
    """Say of each stage whether it is up to date, and if not, why."""
    recipe, store = opened(recipe_name, store_url, images)
    why = why_outdated(recipe, store)
    reusable = reusable_artifacts(recipe, store) if why else {}
    for name in STAGES:
        artifact = store.current(recipe.name, name)
        state = "would run" if name in why else "up to date"
        if name in reusable:
            state, artifact = "there", reusable[name]
        typer.echo(f"{name:<20} {state:<12} {artifact.location if artifact else ''}".rstrip())
        for reason in (
            ["made by another recipe, or before; would be used again"] if name in reusable else why.get(name, ())
        ):
            typer.echo(f"{'':<20} > {reason}")


@app.command()
def recipes() -> None:
    """List the packaged recipes."""
    for name, says in packaged_recipes().items():
        typer.echo(f"{name:<16} {says}")


def _searcher(recipe: Recipe, store: Store) -> Searcher:
    from spn4cir_core.search.search import Searcher

    return Searcher.of_recipe(recipe.name, store, image_files(recipe.images, store))


def _picture(path: Path, recipe: Recipe, store: Store) -> Image.Image:
    """A picture anywhere on this machine, opened with the limits of the recipe."""
    return ImageFiles(path.absolute().parent, recipe.images.max_pixels).open(path.name)


def _show_table_hits(
    vectors: str, recipe: Recipe, store: Store, references: Sequence[Image.Image], text: str, top: int, where: Where
) -> None:
    from spn4cir_core.search.search import current_index
    from spn4cir_core.search.vector_tables import TableSearcher, table_named

    if len(references) > 1:
        raise InputError("a vector table is searched with one reference image; leave out --vectors for several")
    searcher = TableSearcher.open(table_named(vectors, recipe.name), current_index(recipe.name, store))
    for hit in searcher.search(next(iter(references), None), text or None, top, where):
        typer.echo(f"{hit.rank + 1:>4}  {hit.score:.3f}  {hit.path}  {hit.caption}")


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
    searcher.contact_sheet(references, text, hits, files).save(sheet)
    typer.echo(f"contact sheet: {sheet}")


def shown_channels(channels: Mapping[str, float]) -> str:
    """What each channel adds to a hit's score, without those that add next to nothing."""
    return ", ".join(f"{title} {part:+.2f}" for title, part in channels.items() if abs(part) >= LEAST_SHOWN)


def _show_pages(recipe: Recipe, store: Store, artifacts: Mapping[str, Artifact], reused: Mapping[str, bool]) -> None:
    """Name the report; write the summary page anew if anything was computed, and name it."""
    page = summary.page_of(recipe, store)
    if not all(reused.values()) or not page.is_file():
        summary.write_pages(run_summary(recipe, store, reused), page)
        for line in outcome({name: artifact for name, artifact in artifacts.items() if not reused[name]}):
            typer.echo(with_options(line))
    sheet = page.with_name(f"{recipe.name}_triplets.jpg")
    is_new = "triplets" in artifacts and not (reused["triplets"] and sheet.is_file())
    if is_new and write_triplet_sheet(recipe, store, artifacts["triplets"], sheet):
        typer.echo(f"\ntriplets: {sheet}")
    if "eval_report" in artifacts:
        typer.echo(f"\nreport:  {artifacts['eval_report'].file('report.html')}")
    typer.echo(f"summary: {page}")


def _say(artifact: Artifact, reused: bool, above: Sequence[str]) -> None:
    drops = sum(artifact.summary["drops"].values())
    state = "up to date" if reused else f"{sum(artifact.summary['seconds'].values()):.1f} s"
    if above:
        state = f"{'' if reused else f'{state}; '}would run after {', '.join(above)}"
    typer.echo(f"{artifact.noun:<20} {artifact.summary['rows']:>9,} rows  {drops:>6,} dropped  {state}")


def options_first(words: Sequence[str]) -> list[str]:
    """Words of a command line with ``--log-level`` before the command, wherever it was given."""
    for index, word in enumerate(words):
        if word == LOG_OPTION or word.startswith(f"{LOG_OPTION}="):
            end = index + (2 if word == LOG_OPTION else 1)
            return [*words[index:end], *words[:index], *words[end:]]
    return list(words)


def main() -> None:
    """Entry point: a known error is one line on standard error and exit status 1.

    Any other error has its traceback, and the same line last.
    """
    try:
        app(options_first(sys.argv[1:]))
    except Spn4cirError as error:
        typer.secho(f"error: {with_options(str(error))}", fg="red", err=True)
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        typer.secho(f"error: {in_one_line(error)}", fg="red", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
