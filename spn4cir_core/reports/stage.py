"""The ``eval_report`` stage: every model asked every query, written down for people and machines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from spn4cir_core.blend.evidence import Evidence, picture_opener
from spn4cir_core.blend.fitted import BLEND_FILE, FittedBlend, read_blend
from spn4cir_core.blend.measure_blend import ask_blend
from spn4cir_core.captions.caption_table import read_captions
from spn4cir_core.channels.frozen_composed import FrozenComposed
from spn4cir_core.engine.growth import Corpus, Load
from spn4cir_core.engine.progress import Progress
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.evaluation.answer_tables import tables_by_file
from spn4cir_core.evaluation.base import QuerySet
from spn4cir_core.evaluation.encode import MODES
from spn4cir_core.evaluation.measure import Answers, ModelVectors, Searches, ask
from spn4cir_core.evaluation.query_sets import sets_by_evaluator
from spn4cir_core.evaluation.report_tables import RECALL_FILE
from spn4cir_core.evaluation.settings import EvaluationSettings, ReportInput
from spn4cir_core.evaluation.tables import tables
from spn4cir_core.images.files import ImageFiles, image_files
from spn4cir_core.images.manifest import PICTURE, manifest_column, read_manifest
from spn4cir_core.index.image_index import index_of_gallery
from spn4cir_core.reports.contents import Contents, contents, lineage
from spn4cir_core.reports.galleries import Draw, Pictures, galleries
from spn4cir_core.reports.page import html_page, markdown_page
from spn4cir_core.reports.previews import EXAMPLES, HEADLINE, example_sheet, examples_of, headline_markdown
from spn4cir_core.reports.suspicious import Likeness
from spn4cir_core.reports.thumbnails import Thumbnails
from spn4cir_core.store.artifacts import Artifact, Store, read_json, whole_file
from spn4cir_core.training.checkpoints import Checkpoint, load_checkpoint, read_metrics, same_networks
from spn4cir_core.training.image_inputs import image_inputs
from spn4cir_core.training.roles import ROLES, TRAINED
from spn4cir_core.training.text_features import remember_texts


def write_report(work: Work[ReportInput]) -> None:
    """Make query sets, ask every model, and write tables, JSON, Markdown and the page."""
    settings, seed = work.settings.eval_report, work.settings.seed
    files = image_files(work.settings.images, work.store)
    with work.draft.timed("read"):
        by_evaluator = sets_by_evaluator(settings, work.parents, files, seed)
        sets = [query_set for _, made in by_evaluator for query_set in made]
        metrics = {name: read_metrics(work.parents[role.artifact]) for name, role in TRAINED.items()}
    with work.draft.timed("compute"):
        blend = read_blend(work.parents["blend"])
        answers = _answers(work, sets, files, blend)
        numbers = tables(answers, settings.ks, settings.bootstrap_draws, seed)
    captions = read_captions(work.parents["captions"])
    likeness = Likeness.of(captions, work.parents["splits"])
    blend_table = read_json(work.parents["blend"].file(BLEND_FILE))
    rests_on = lineage(work.parents, work.store)
    report = contents(sets, answers, numbers, metrics, rests_on, settings, likeness, blend_table, seed)
    with work.draft.timed("write"):
        thumbnails = Thumbnails(files, manifest_column(work.parents["images"], "path"))
        pictures = Pictures(thumbnails, captions)
        draw = Draw(settings.gallery_pictures, seed)
        shown = galleries(work.parents, answers, draw, pictures, likeness, report["false_negatives"]["by_reason"])
        _write_preview(work, report, shown, thumbnails)
        for file, table in tables_by_file(answers, numbers, searched=settings.searched_by is not None).items():
            work.draft.write_table(table, file)
        work.draft.write_json(report, "report.json")
        _write_text(work, "report.html", html_page(report, shown, metrics))
        _write_text(work, "report.md", markdown_page(report))
    for evaluator, made in by_evaluator:
        if settings.evaluators and not made:
            work.draft.drop(f"evaluator {evaluator.plugin_kind!r} found nothing to ask in this corpus")
    for query_set in sets:
        for reason, count in query_set.drops.items():
            work.draft.drop(f"{query_set.name}: {reason}", count)
    work.draft.rows = sum(len(query_set.queries) for query_set in sets)
    work.draft.details = _details(report)


def _answers(work: Work[ReportInput], sets: Sequence[QuerySet], files: ImageFiles, blend: FittedBlend) -> list[Answers]:
    inputs_of = inputs_reader(work.parents["images"], files, work.store, work.progress)
    texts = {query.modified_text for query_set in sets for query in query_set.queries}
    loaders = {name: partial(_load, work, role.artifact, texts) for name, role in TRAINED.items()}
    settings, vectors_of = work.settings.eval_report, dict[str, ModelVectors]()
    searches = _searches(settings, work.settings.seed)
    answers = ask(loaders, sets, inputs_of, work.progress, searches, vectors_of, same_networks(work.parents))
    evidence = Evidence.of(
        work.parents["captions"],
        work.parents["image_embeddings"],
        blend.sentence_encoder,
        work.store,
        blend.caption_sources,
        picture_opener(work.parents["images"], files) if FrozenComposed.plugin_kind in blend.names else None,
    )
    ask_blend(blend, evidence, answers, vectors_of, settings.captions_of_gallery, work.progress)
    return answers


def _load(work: Work[ReportInput], artifact: str, texts: Collection[str]) -> Checkpoint:
    """A checkpoint whose network has the features of the texts, of which each is encoded once for all models."""
    checkpoint = load_checkpoint(work.parents[artifact])
    remember_texts(checkpoint.network, texts, work.store, progress=work.progress)
    return checkpoint


def inputs_reader(
    images: Artifact, files: ImageFiles, store: Store, progress: Progress
) -> Callable[[Checkpoint, Sequence[str]], np.ndarray]:
    """What reads a checkpoint's inputs of images, by id, for :func:`~spn4cir_core.evaluation.measure.ask`."""
    manifest = read_manifest(images, *PICTURE)
    row_of = {image_id: row for row, image_id in enumerate(manifest["image_id"].to_pylist())}

    def inputs_of(checkpoint: Checkpoint, image_ids: Sequence[str]) -> np.ndarray:
        rows = manifest.take(pa.array([row_of[image_id] for image_id in image_ids], pa.int64()))
        return image_inputs(checkpoint.backbone, checkpoint.network, rows, files, store, progress=progress)

    return inputs_of


def _searches(settings: EvaluationSettings, seed: int) -> Searches | None:
    if settings.searched_by is None:
        return None
    return Searches(partial(index_of_gallery, settings=settings.searched_by, seed=seed), settings.ks)


def _write_preview(
    work: Work[ReportInput], report: Contents, galleries: Mapping[str, Any], thumbnails: Thumbnails
) -> None:
    _write_text(work, HEADLINE, headline_markdown(report))
    gallery = galleries["retrieval"].get(report["headline"]["query_set"], [])
    sheet = example_sheet(examples_of(gallery), thumbnails)
    if sheet is not None:
        sheet.save(work.draft.file(EXAMPLES), "JPEG", quality=80)


def _write_text(work: Work[ReportInput], name: str, text: str) -> None:
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


def growth(corpus: Corpus, settings: ReportInput) -> Load:
    """Every held-out image; every query searches them with each model, composed and by single modalities."""
    gallery = corpus.splits.get("evaluation", 0)
    searches = len(ROLES) * len(MODES) * sum(corpus.queries.values())
    return Load(
        gallery,
        "held-out image",
        accelerator_products=searches * gallery * corpus.bank_dimensions,
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
    view=ReportInput,
    version=13,
    write=write_report,
    main_file=RECALL_FILE,
    growth=growth,
)
