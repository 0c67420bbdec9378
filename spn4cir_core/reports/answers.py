"""Every model of a recipe, and the blend of them, asked every query."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

from spn4cir_core.blend.evidence import Evidence, picture_opener
from spn4cir_core.blend.fitted import read_blend
from spn4cir_core.blend.measure_blend import ask_blend
from spn4cir_core.channels.frozen_composed import FrozenComposed
from spn4cir_core.engine.progress import Progress
from spn4cir_core.evaluation.base import QuerySet
from spn4cir_core.evaluation.measure import HITS, Answers, ModelVectors, Searches, ask
from spn4cir_core.evaluation.settings import ReportInput
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.index.image_index import index_of_gallery
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.checkpoints import Checkpoint, load_checkpoint, same_networks
from spn4cir_core.training.image_inputs import inputs_reader
from spn4cir_core.training.roles import BLEND, TRAINED
from spn4cir_core.training.text_features import remember_texts


def answers_of(
    models: Mapping[str, Artifact],
    query_sets: Sequence[QuerySet],
    settings: ReportInput,
    parents: Mapping[str, Artifact],
    files: ImageFiles,
    store: Store,
    progress: Progress,
    depth: int = HITS,
) -> list[Answers]:
    """Answers to the query sets that have queries.

    Args:
        models: model name → the checkpoint or the blend; a blend needs all trained models beside it.
        parents: ``images``, ``captions`` and ``image_embeddings`` of the galleries, by name.
        depth: how many first hits a reranker gets.

    Raises:
        InputError: a picture cannot be read any more, or a query names an image outside its gallery.
        StoreError: an artefact is damaged.
    """
    report, vectors_of = settings.eval_report, dict[str, ModelVectors]()
    trained = {name: models[name] for name in TRAINED if name in models}
    texts = {query.modified_text for query_set in query_sets for query in query_set.queries}
    answers = ask(
        {name: partial(_load, checkpoint, texts, store, progress) for name, checkpoint in trained.items()},
        query_sets,
        inputs_reader(parents["images"], files, store, progress),
        progress,
        _searches(settings),
        vectors_of,
        same_networks(_by_stage(trained)) if trained.keys() == TRAINED.keys() else None,
        depth,
    )
    if BLEND.name in models:
        blend = read_blend(models[BLEND.name])
        evidence = Evidence.of(
            parents["captions"],
            parents["image_embeddings"],
            blend.sentence_encoder,
            store,
            blend.caption_sources,
            picture_opener(parents["images"], files) if FrozenComposed.plugin_kind in blend.names else None,
        )
        ask_blend(blend, evidence, answers, vectors_of, report.captions_of_gallery, progress)
    return answers


def _by_stage(models: Mapping[str, Artifact]) -> dict[str, Artifact]:
    return {TRAINED[name].artifact: artifact for name, artifact in models.items()}


def _load(artifact: Artifact, texts: Collection[str], store: Store, progress: Progress) -> Checkpoint:
    """A checkpoint whose network has the features of the texts, of which each is encoded once for all models."""
    checkpoint = load_checkpoint(artifact)
    remember_texts(checkpoint.network, texts, store, progress=progress)
    return checkpoint


def _searches(settings: ReportInput) -> Searches | None:
    report = settings.eval_report
    if report.searched_by is None:
        return None
    return Searches(partial(index_of_gallery, settings=report.searched_by, seed=settings.seed), report.ks)
