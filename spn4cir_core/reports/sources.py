"""What a report is made from: query sets, metrics of the trainings, captions, the blend, all artefacts above."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spn4cir_core.blend.fitted import BLEND_FILE
from spn4cir_core.captions.caption_table import read_captions
from spn4cir_core.evaluation.base import Evaluator, QuerySet
from spn4cir_core.evaluation.query_sets import sets_by_evaluator
from spn4cir_core.evaluation.settings import ReportInput
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.reports.suspicious import Likeness
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.lineage import lineage
from spn4cir_core.store.whole_file import read_json
from spn4cir_core.training.checkpoints import read_metrics
from spn4cir_core.training.roles import TRAINED


@dataclass(frozen=True)
class Sources:
    """Everything that a report reads, apart from the models."""

    by_evaluator: Sequence[tuple[Evaluator, Sequence[QuerySet]]]
    """Every evaluator with the query sets that it made, with or without queries."""
    metrics: Mapping[str, Sequence[Mapping[str, Any]]]
    """Model → the lines that its training logged."""
    captions: Mapping[str, str]
    """Image id → caption."""
    likeness: Likeness
    blend_table: Mapping[str, Any]
    """Channels, weights and recalls of the ``blend`` artefact."""
    lineage: Mapping[str, Artifact]
    """Every artefact that the report rests on, by name, sources first."""

    @classmethod
    def read(cls, settings: ReportInput, parents: Mapping[str, Artifact], files: ImageFiles, store: Store) -> Sources:
        """Make the query sets and read the artefacts.

        Raises:
            StoreError: an artefact is damaged or of an older version.
        """
        captions = read_captions(parents["captions"])
        return cls(
            by_evaluator=sets_by_evaluator(settings.eval_report, parents, files, settings.seed),
            metrics={name: read_metrics(parents[role.artifact]) for name, role in TRAINED.items()},
            captions=captions,
            likeness=Likeness.of(captions, parents["splits"]),
            blend_table=read_json(parents["blend"].file(BLEND_FILE)),
            lineage=lineage(parents, store),
        )

    @property
    def query_sets(self) -> list[QuerySet]:
        """The sets of all evaluators."""
        return [query_set for _, made in self.by_evaluator for query_set in made]
