"""The query sets of a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spn4cir_core.embeddings.vectors import read_embeddings
from spn4cir_core.evaluation.base import EVALUATORS, Evaluator, QuerySet
from spn4cir_core.evaluation.gallery_sample import sampled
from spn4cir_core.evaluation.settings import EvaluationSettings
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.artifacts import Artifact


def query_sets(
    settings: EvaluationSettings, parents: Mapping[str, Artifact], files: ImageFiles, seed: int
) -> list[QuerySet]:
    """The sets of all evaluators that find something to ask, possibly without queries that can be asked."""
    return [made for _, sets in sets_by_evaluator(settings, parents, files, seed) for made in sets]


def sets_by_evaluator(
    settings: EvaluationSettings, parents: Mapping[str, Artifact], files: ImageFiles, seed: int
) -> list[tuple[Evaluator, Sequence[QuerySet]]]:
    """Every evaluator with its sets, none where it finds nothing to ask."""
    evaluators: tuple[Evaluator, ...] = settings.evaluators or tuple(
        EVALUATORS.build(kind) for kind in EVALUATORS.members
    )
    sets = [(evaluator, evaluator.query_sets(parents, files, seed)) for evaluator in evaluators]
    size = settings.gallery_sample
    if size is None:
        return sets
    embeddings = read_embeddings(parents["image_embeddings"])
    return [(evaluator, [sampled(one, size, embeddings, seed) for one in made]) for evaluator, made in sets]
