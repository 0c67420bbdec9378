"""The ``eval_report`` stage: every model asked every query, written down for people and machines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from spn4cir_core.engine.blas_threads import one_blas_thread
from spn4cir_core.engine.growth import Corpus, Load
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.evaluation.answer_tables import tables_by_file
from spn4cir_core.evaluation.encode import MODES
from spn4cir_core.evaluation.measure import HITS, Answers
from spn4cir_core.evaluation.measure_reranking import rerank_answers, reranking_summary
from spn4cir_core.evaluation.report_tables import RECALL_FILE
from spn4cir_core.evaluation.tables import tables
from spn4cir_core.images.files import ImageFiles, image_files
from spn4cir_core.images.manifest import PICTURE, manifest_column, read_manifest
from spn4cir_core.reports.answers import answers_of
from spn4cir_core.reports.contents import Contents, contents
from spn4cir_core.reports.galleries import Draw, Pictures, galleries
from spn4cir_core.reports.page import html_page, markdown_page
from spn4cir_core.reports.previews import EXAMPLES, HEADLINE, example_sheet, examples_of, headline_markdown
from spn4cir_core.reports.settings import RerankedReportInput
from spn4cir_core.reports.sources import Sources
from spn4cir_core.reports.thumbnails import Thumbnails
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.whole_file import whole_file
from spn4cir_core.training.roles import ROLES


@one_blas_thread()
def write_report(work: Work[RerankedReportInput]) -> None:
    """Make query sets, ask every model, and write tables, JSON, Markdown and the page."""
    settings, seed = work.settings.eval_report, work.settings.seed
    files = image_files(work.settings.images, work.store)
    with work.draft.timed("read"):
        sources = Sources.read(work.settings, work.parents, files, work.store)
    with work.draft.timed("compute"):
        models = {name: work.parents[role.artifact] for name, role in ROLES.items()}
        depth = HITS if work.settings.rerank is None else work.settings.rerank.top
        read_from = (work.settings, work.parents, files, work.store, work.progress)
        answers = answers_of(models, sources.query_sets, *read_from, depth)
        numbers = tables(answers, settings.ks, settings.bootstrap_draws, seed)
    report = contents(sources, answers, numbers, settings, seed, _reranked(work, answers, files))
    with work.draft.timed("write"):
        pictures = Pictures(Thumbnails(files, manifest_column(work.parents["images"], "path")), sources.captions)
        draw, excluded = Draw(settings.gallery_pictures, seed), report["false_negatives"]["by_reason"]
        shown = galleries(sources, answers, draw, pictures, excluded)
        _write_preview(work, report, shown, pictures.thumbnails)
        for file, table in tables_by_file(answers, numbers, searched=settings.searched_by is not None).items():
            work.draft.write_table(table, file)
        work.draft.write_json(report, "report.json")
        _write_text(work, "report.html", html_page(report, shown, sources.metrics))
        _write_text(work, "report.md", markdown_page(report))
    _count(work, sources)
    work.draft.details |= _details(report)


def _reranked(
    work: Work[RerankedReportInput], answers: Sequence[Answers], files: ImageFiles
) -> dict[str, dict[str, Any]]:
    """By query set, what the recipe's reranker adds to the served order; empty without one."""
    reranker, settings = work.settings.rerank, work.settings.eval_report
    if reranker is None or not answers:
        return {}
    rows = read_manifest(work.parents["images"], *PICTURE).to_pylist()
    pictures = {row["image_id"]: (row["path"], row["pixel_sha256"]) for row in rows}
    seconds: defaultdict[str, float] = defaultdict(float)
    measured = rerank_answers(reranker, answers, pictures, files, work.store, work.progress, seconds)
    for name, spent in seconds.items():
        work.draft.seconds[name] += spent
    known = [reranked.seconds for reranked in measured.values() if reranked.seconds is not None]
    work.draft.details["reranking"] = {"spent_s": sum(seconds.values()), "s_per_query": fmean(known) if known else None}
    drawn = settings.bootstrap_draws, work.settings.seed
    return {
        answer.query_set.name: reranking_summary(
            reranker, answer, measured[answer.query_set.name], answer.query_set.ks or settings.ks, *drawn
        )
        for answer in answers
    }


def _count(work: Work[RerankedReportInput], sources: Sources) -> None:
    """The number of queries, and what could not be asked, by its reason."""
    for evaluator, query_sets in sources.by_evaluator:
        if work.settings.eval_report.evaluators and not query_sets:
            work.draft.drop(f"evaluator {evaluator.plugin_kind!r} found nothing to ask in this corpus")
    for query_set in sources.query_sets:
        for reason, count in query_set.drops.items():
            work.draft.drop(f"{query_set.name}: {reason}", count)
    work.draft.rows = sum(len(query_set.queries) for query_set in sources.query_sets)


def _write_preview(
    work: Work[RerankedReportInput], report: Contents, galleries: Mapping[str, Any], thumbnails: Thumbnails
) -> None:
    _write_text(work, HEADLINE, headline_markdown(report))
    gallery = galleries["retrieval"].get(report["headline"]["query_set"], [])
    sheet = example_sheet(examples_of(gallery), thumbnails)
    if sheet is not None:
        sheet.save(work.draft.file(EXAMPLES), "JPEG", quality=80)


def _write_text(work: Work[RerankedReportInput], name: str, text: str) -> None:
    with whole_file(work.draft.file(name)) as scratch:
        scratch.write_text(text, encoding="utf-8")


def _details(report: Contents) -> dict[str, Any]:
    """The headline, and recall of every model's composed queries over all kinds as flat numbers that plot over runs."""
    numbers = {
        f"{row['query_set']} {row['model']} recall@{row['k']}": row["recall"]
        for query_set in report["query_sets"]
        for row in query_set["recall"]
        if row["kind"] == "all" and row["query"] == "composed"
    }
    return {
        "headline": report["headline"],
        "recall": numbers,
        "queries": {query_set["name"]: query_set["queries"] for query_set in report["query_sets"]},
    }


def _reranker_weights(settings: RerankedReportInput, store: Store) -> str | None:
    """The fingerprint of the reranker's model, which lies outside the store; None without one."""
    return None if settings.rerank is None else settings.rerank.fingerprint(image_files(settings.images, store))


def growth(corpus: Corpus, settings: RerankedReportInput) -> Load:
    """Every held-out image; every query searches them with each model, composed and by single modalities."""
    gallery = corpus.splits.get("evaluation", 0)
    searches = len(ROLES) * len(MODES) * sum(corpus.queries.values())
    return Load(
        gallery,
        "held-out image",
        accelerator_products=searches * gallery * corpus.bank_dimensions,
        read_rows=1,  # pages and plots are written once
        held_rows=corpus.images,
        held_floats=gallery * corpus.bank_dimensions,
    )


EVAL_REPORT = Stage(
    name="eval_report",
    parents=(
        "images",
        "annotations",
        "splits",
        "captions",
        "triplets",
        "false_negatives",
        "image_embeddings",
        *(role.artifact for role in ROLES.values()),
    ),
    view=RerankedReportInput,
    version=18,
    write=write_report,
    external_inputs=_reranker_weights,
    fingerprint_part={"rerank": lambda reranker: reranker},
    main_file=RECALL_FILE,
    growth=growth,
)
