"""Commands about judgements: list them, write them as annotation files, read those of another store."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from spn4cir_core.cli.options import ImagesOption, RecipeOption, StoreOption, opened
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.judgements.agreement import JudgedQuery, judged_queries, kappa_of
from spn4cir_core.judgements.judgement_files import log_csv, queries_csv, read_log, triplets_csv
from spn4cir_core.judgements.judgement_log import JudgementLog
from spn4cir_core.store.outputs import write_output

ENOUGH_QUERIES = 20
judgements = typer.Typer(no_args_is_help=True, help="What people judged on the search page: list, export, import.")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(judgements, name="judgements")


@judgements.command("list")
def list_judgements(
    recipe_name: RecipeOption = "",
    store_url: StoreOption = "store",
    images: ImagesOption = None,
    count: Annotated[int, typer.Option(min=1, help="How many queries, the last ones.")] = ENOUGH_QUERIES,
) -> None:
    """Show the judged queries with the majority's verdicts, and how far judges agree."""
    log = _existing_log(recipe_name, store_url, images)
    given = log.judgements()
    queries = judged_queries(given, log.purposes())
    if len(queries) > count:
        typer.echo(f"the last {count} of {len(queries):,} queries; show more with --count")
    typer.echo(f"{'serves':<12} {'right':>5} {'wrong':>5} {'open':>5}  query")
    for query in queries[-count:]:
        typer.echo(_line(query))
    by_purpose = Counter(query.purpose or "nothing: its references are of several splits" for query in queries)
    if other := sum(len(query.other_split_ids) for query in queries):
        typer.echo(
            f"not counted above: {_counted(other, 'hit')} of another split than the reference image; "
            "training must not learn from what evaluation asks, so they serve neither"
        )
    judges = {each.judge for each in given}
    typer.echo(
        f"\n{_counted(len(given), 'judgement')} by {_counted(len(judges), 'judge')} on "
        f"{_counted(len(queries), 'query', 'queries')}"
        + "".join(f"; {number:,} serve{'s' * (number == 1)} {use}" for use, number in sorted(by_purpose.items()))
    )
    kappa = kappa_of(given)
    typer.echo("agreement: no hit has two judges" if kappa is None else f"agreement: Fleiss' kappa {kappa:.2f}")


@judgements.command("export")
def export_judgements(
    out: Annotated[Path, typer.Option("--out", help="Folder for queries.csv, triplets.csv and judgements.csv.")],
    recipe_name: RecipeOption = "",
    store_url: StoreOption = "store",
    images: ImagesOption = None,
) -> None:
    """Write the majority's verdicts as queries.csv (evaluation) and triplets.csv (training), and every judgement."""
    log = _existing_log(recipe_name, store_url, images)
    given, purposes = log.judgements(), log.purposes()
    queries = judged_queries(given, purposes)
    query_rows, no_queries = queries_csv(queries)
    trained, no_triplets = triplets_csv(queries, ["train", "validation"])
    files = {"queries.csv": query_rows, "triplets.csv": trained, "judgements.csv": log_csv(given, purposes)}
    for name, content in files.items():
        write_output(out / name, content)
        typer.echo(out / name)
    for reason, number in sorted((no_queries + no_triplets).items()):
        typer.echo(f"{number:,} queries left out: {reason}")


@judgements.command("import")
def import_judgements(
    files: Annotated[list[Path], typer.Argument(help="judgements.csv, as export writes it; of any store.")],
    recipe_name: RecipeOption = "",
    store_url: StoreOption = "store",
    images: ImagesOption = None,
) -> None:
    """Add the judgements of another store; those that are there already are left out."""
    log = _log(recipe_name, store_url, images)
    for file in files:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error}") from error
        given, purposes = read_log(str(file), content)
        typer.echo(f"{file}: {log.add(given, purposes):,} of {len(given):,} judgements are new")


def _log(recipe_name: str, store_url: str, images: Path | None) -> JudgementLog:
    recipe, store = opened(recipe_name, store_url, images)
    return JudgementLog(store, recipe.name)


def _existing_log(recipe_name: str, store_url: str, images: Path | None) -> JudgementLog:
    log = _log(recipe_name, store_url, images)
    if not log.path.parent.is_dir():
        raise StoreError(f"there is no store in {log.path.parent}; name one with --store")
    return log


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _line(query: JudgedQuery) -> str:
    references = " + ".join(query.reference_ids)
    counts = (len(query.right_ids), len(query.wrong_ids), len(query.undecided_ids))
    columns = " ".join(f"{number:>5}" for number in counts)
    return f"{query.purpose or 'nothing':<12} {columns}  {references}: {query.modified_text}"
