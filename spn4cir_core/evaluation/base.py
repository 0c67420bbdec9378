"""What every evaluator is: a maker of query sets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from spn4cir_core.artifacts import Artifact
from spn4cir_core.plugins import Plugin, Room

EVALUATORS = Room(
    "evaluator",
    {
        "annotated": "spn4cir_core.evaluation.annotated:Annotated",
        "held_out": "spn4cir_core.evaluation.held_out:HeldOut",
        "labels": "spn4cir_core.evaluation.labels:Labels",
    },
)


@dataclass(frozen=True)
class Query:
    """One composed query; any of its targets is right."""

    query_id: str
    reference_id: str
    modified_text: str
    target_ids: tuple[str, ...]
    kind: str = ""


@dataclass(frozen=True)
class QuerySet:
    """Queries that share a gallery and a protocol."""

    name: str
    protocol: str
    """One sentence: where queries and targets come from, which gallery, reference removed or not."""
    queries: tuple[Query, ...]
    gallery_ids: tuple[str, ...]
    remove_reference: bool
    headline: bool
    """Whether the set measures composition (generated queries do not: the text alone answers them)."""


class Evaluator(Plugin):
    """Makes a query set from what a corpus has."""

    @abstractmethod
    def query_set(self, parents: Mapping[str, Artifact], seed: int) -> QuerySet | None:
        """The queries, all over images of the evaluation split; None where the corpus has nothing for this evaluator."""
