"""Commands about evaluation: files for the servers of benchmarks, drafts of queries, comparisons of runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from spn4cir_core.captions.caption_table import read_captions
from spn4cir_core.cli.options import ImagesOption, RecipeOption, StoreOption, chosen_recipe, opened
from spn4cir_core.engine.progress import shown
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.evaluation.comparison import Run, query_set_names
from spn4cir_core.evaluation.draft_queries import Source, draft
from spn4cir_core.evaluation.score_files import score_files
from spn4cir_core.evaluation.submission import Answering, ReferenceFate, Text, read_server_queries, submit
from spn4cir_core.evaluation.submission_files import validate_submission
from spn4cir_core.images.base import QUERIES
from spn4cir_core.images.files import ImageFiles, image_files
from spn4cir_core.images.manifest import PICTURE, read_manifest
from spn4cir_core.launch.recipe_source import own_name
from spn4cir_core.operations.against_before import diagnosis
from spn4cir_core.recipe import Recipe, packaged_recipes, reads_a_folder
from spn4cir_core.reports.comparison_page import comparison_html, comparison_markdown, parent_of, run_comparison
from spn4cir_core.reports.stage import EVAL_REPORT
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.outputs import write_output
from spn4cir_core.store.remote_store import open_store
from spn4cir_core.training.checkpoints import load_checkpoint
from spn4cir_core.training.roles import LAST_TRAINED, ROLES, SERVED, ModelName, TrainedName
from spn4cir_core.user_files import read_json_file


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("submit")(write_server_files)
    app.command("score")(score_predictions)
    app.command("queries")(draft_queries)
    app.command("compare")(compare_runs)
    app.command("dimensions")(check_dimensions)


def write_server_files(
    recipe_name: RecipeOption = "",
    store_url: StoreOption = "store",
    images: ImagesOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the files; default: submissions/ in the store.")] = None,
    model: Annotated[TrainedName, typer.Option(help="The checkpoint that answers.")] = LAST_TRAINED,
    trained: Annotated[
        str, typer.Option(help="Recipe whose checkpoint it is; default: the one whose pictures are ranked.")
    ] = "",
    text: Annotated[Text, typer.Option(help="CIRCO: the caption alone, or after the shared concept.")] = "caption",
    reference: Annotated[
        ReferenceFate, typer.Option(help="CIRCO: whether rankings may hold the reference image.")
    ] = "kept",
    check: Annotated[Path | None, typer.Option(help="Only check this file.")] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="With --check: the benchmark's queries, instead of the recipe's.")
    ] = None,
) -> None:
    """Write the files that the servers of CIRR (test1) and CIRCO (test) score, or check one of them."""
    if check is not None and annotations is not None:
        _check(check, annotations, _names_beside(annotations))
        return
    recipe, store = opened(recipe_name, store_url, images)
    server_queries = read_server_queries(recipe.images, _made(recipe.name, store, "images"), store)
    if check is not None:
        if len(server_queries) > 1:
            raise InputError("the recipe has queries for several servers; name the file of them with --annotations")
        _check(check, server_queries[0].annotations, server_queries[0].names)
        return
    source = _named(trained, None, store)[0] if trained else recipe.name
    answering = Answering(
        checkpoint=load_checkpoint(_made(source, store, ROLES[model].artifact)),
        manifest=read_manifest(_made(recipe.name, store, "images"), *PICTURE),
        settings=recipe.images,
        store=store,
        text=text,
        reference=reference,
    )
    with shown() as progress:
        for one in server_queries:
            for path in submit(one, answering, out or store.root / "submissions", f"{source}_{model}", progress):
                typer.echo(path)


def score_predictions(
    files: Annotated[list[Path], typer.Argument(help="A file of CIRCO; of CIRR recall, recall_subset or both.")],
    annotations: Annotated[Path, typer.Option(help="With targets: CIRCO's val.json or CIRR's cap.rc2.val.json.")],
) -> None:
    """Score prediction files of CIRCO or CIRR as the benchmark's server does, on this machine."""
    for name, value in score_files(files, annotations).items():
        typer.echo(f"{name:<40} {value:6.2f}")


def check_dimensions(
    recipe_name: RecipeOption = "", store_url: StoreOption = "store", images: ImagesOption = None
) -> None:
    """Whether vectors as long as the network's, or twice as long, could place every wanted answer first."""
    from spn4cir_core.operations.dimension_report import dimension_ceilings

    recipe, store = opened(recipe_name, store_url, images)
    for one in dimension_ceilings(recipe.name, store, recipe.seed):
        typer.echo(
            f"{one.query_set}: {one.queries:,} queries, {one.images:,} images: {one.dim} numbers place all answers of "
            f"{100 * one.reached:.1f} % first, {2 * one.dim} of {100 * one.reached_by_twice:.1f} %"
        )


def draft_queries(
    out: Annotated[Path, typer.Option("--out", help="The file to write; it must not be there yet.")] = Path(QUERIES),
    source: Annotated[Source, typer.Option("--from", help="What drafts are made of.")] = "held_out",
    count: Annotated[int, typer.Option(min=1, help="Most queries.")] = 100,
    corpus: Annotated[str, typer.Option(help="Corpus, where the recipe has several.")] = "",
    recipe_name: RecipeOption = "",
    store_url: StoreOption = "store",
    images: ImagesOption = None,
) -> None:
    """Draft composed queries for a person to correct; put into the corpus's folder, they are what is measured."""
    recipe, store = opened(recipe_name, store_url, images)
    parents = {
        noun: _made(recipe.name, store, noun) for noun in ("images", "annotations", "splits", "captions", "triplets")
    }
    queries, content = draft(EVAL_REPORT.settings_of(recipe), store, parents, source, corpus, count)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("xb") as stream:
            stream.write(content)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error}; name a new file in a folder you may write") from error
    typer.echo(f"{out}: {queries:,} drafts; correct them, delete bad rows, put it into the corpus's folder")


def compare_runs(
    runs: Annotated[
        list[str] | None, typer.Argument(help=r"[LABEL=]RECIPE\[@STORE], at least two; one label: seeds.")
    ] = None,
    before: Annotated[
        bool, typer.Option("--before", help="Compare one recipe's report with the one before it.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", help="The page; a .md and a .json are written beside it.")] = Path(
        "compare.html"
    ),
    model: Annotated[ModelName, typer.Option(help="The model that is compared.")] = SERVED.name,
    query_set: Annotated[str, typer.Option("--queries", help="One query set; default: all that two runs have.")] = "",
    draws: Annotated[int, typer.Option(min=100, help="Resamples of the intervals and tests.")] = 2000,
    recipe: RecipeOption = "",
    store: StoreOption = "store",
    images: ImagesOption = None,
) -> None:
    """Compare runs query by query: recall, paired differences, queries won and lost. The first one is the baseline."""
    if before:
        _compare_with_before(*opened(_only(runs, recipe), store, images), out, model, query_set, draws)
        return
    if len(runs or []) < 2:
        raise InputError(
            "name at least two runs: spn4cir compare demo tuned.toml other@elsewhere/store; "
            "or one recipe with its report before: spn4cir compare --before demo"
        )
    compared = [_run(spec, store, images) for spec in runs or []]
    _check_distinct([run for run, _, _ in compared])
    files = next((image_files(known.images, store) for _, store, known in compared if known), None)
    comparison = run_comparison([run for run, _, _ in compared], model, query_set, draws, 0)
    _write_comparison(comparison, compared[0][0], compared[0][1], files, out)


def _check_distinct(runs: Sequence[Run]) -> None:
    """Refuse a report that is named twice below one label, as if it were two seeds."""
    counts = Counter((run.label, run.report.fingerprint) for run in runs)
    (label, report), count = counts.most_common(1)[0]
    if count > 1:
        raise InputError(
            f"the report {report} is named {count} times as {label!r}: seeds are runs of recipes that differ in "
            "`seed`; name another run, or give each a label of its own, LABEL=RECIPE"
        )


def _only(runs: list[str] | None, recipe: str) -> str:
    """The one recipe that is named, as an argument or by the option."""
    names = [*(runs or []), *([recipe] if recipe else [])]
    if len(names) > 1:
        raise InputError(f"--before compares one recipe with itself, not {len(names)}: name one")
    return names[0] if names else ""


def _compare_with_before(recipe: Recipe, store: Store, out: Path, model: str, query_set: str, draws: int) -> None:
    now, older = _made(recipe.name, store, "eval_report"), store.before(recipe.name, "eval_report")
    if older is None:
        raise StoreError(f"recipe {recipe.name!r} has one report in {store}, and none before it to compare with")
    runs = [Run("before", f"{recipe.name} before", older), Run("now", f"{recipe.name} now", now)]
    query_set_names(runs, query_set)  # a name that neither has is an error; one that only one has is a finding
    try:
        comparison = run_comparison(runs, model, query_set, draws, 0)
    except InputError as error:
        typer.echo(f"no page written: {error}")
    else:
        _write_comparison(comparison, runs[1], store, image_files(recipe.images, store), out)
    with shown() as progress:
        for line in diagnosis(recipe, store, now, older, progress):
            typer.echo(line)


def _write_comparison(comparison: dict[str, Any], run: Run, store: Store, files: ImageFiles | None, out: Path) -> None:
    """The page with its Markdown and its JSON; captions are those of one of the runs."""
    captions = parent_of(run, "captions", store)
    markdown = comparison_markdown(comparison)
    contents = {
        ".html": comparison_html(comparison, files, read_captions(captions) if captions else {}),
        ".md": markdown,
        ".json": json.dumps(comparison, ensure_ascii=False, indent=1, allow_nan=False) + "\n",
    }
    typer.echo(markdown)
    for ending, text in contents.items():
        path = out.with_suffix(ending)
        write_output(path, text.encode())
        typer.echo(path)


def _run(spec: str, default_store: str, images: Path | None) -> tuple[Run, Store, Recipe | None]:
    """A run by ``[LABEL=]RECIPE[@STORE]``; its recipe only if it can be read, for the pictures."""
    label, _, source = spec.rpartition("=")
    source, _, elsewhere = source.partition("@")
    store = open_store(elsewhere or default_store)
    name, recipe = _named(source, images, store)
    report = store.current(name, "eval_report")
    if report is None:
        raise StoreError(f"no eval_report of recipe {name!r} in {store}; make it with: spn4cir run")
    return Run(label or (f"{name}@{elsewhere}" if elsewhere else name), spec, report), store, recipe


def _named(source: str, images: Path | None, store: Store) -> tuple[str, Recipe | None]:
    """The name that a store knows a recipe by, and the recipe itself where that is all it takes to read it."""
    complete = source in packaged_recipes() and (images is not None or not reads_a_folder(source))
    if complete or Path(source).is_file():
        recipe = own_name(chosen_recipe(source, images), store)
        return recipe.name, recipe
    return source, None


def _check(file: Path, annotations: Path, names: Collection[str]) -> None:
    metric = validate_submission(file, annotations, names)
    typer.echo(f"{file}: fit for the server ({metric}){'' if names else '; names of images were not compared'}")


def _names_beside(annotations: Path) -> list[str]:
    """Names of all images of CIRR's split, if ``image_splits`` lies beside the folder of its captions."""
    path = annotations.parent.parent / "image_splits" / annotations.name.replace("cap.", "split.")
    return list(read_json_file(path)) if path.is_file() else []


def _made(recipe: str, store: Store, noun: str) -> Artifact:
    artifact = store.current(recipe, noun)
    if artifact is None:
        raise StoreError(
            f"recipe {recipe!r} has no {noun} in {store}; make it with: spn4cir run"
            f"{' --select images' if noun == 'images' else ''}"
        )
    return artifact
