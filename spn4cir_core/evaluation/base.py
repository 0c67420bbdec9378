"""What every evaluator is: a maker of query sets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from spn4cir_core.artifacts import Artifact
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.plugins import Plugin, Room

EVALUATORS = Room(
    "evaluator",
    {
        "annotated": "spn4cir_core.evaluation.annotated:Annotated",
        "labels": "spn4cir_core.evaluation.labels:Labels",
        "held_out": "spn4cir_core.evaluation.held_out:HeldOut",
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
    """Where queries and targets come from, which gallery, reference removed or not; whole sentences."""
    queries: tuple[Query, ...]
    gallery_ids: tuple[str, ...]
    remove_reference: bool
    headline: bool
    """Whether the set measures composition (generated queries do not: the text alone answers them)."""
    drops: Mapping[str, int] = field(default_factory=dict)
    """Queries that could not be asked, by reason."""


class Evaluator(Plugin):
    """Makes a query set from what a corpus has."""

    @abstractmethod
    def query_set(self, parents: Mapping[str, Artifact], files: ImageFiles, seed: int) -> QuerySet | None:
        """The queries, all over images of the evaluation split; None where the corpus has nothing for this evaluator.

        Args:
            parents: images, annotations, splits, captions and triplets, by noun.
            files: opens the pictures, by path.
            seed: of whatever is drawn at random.
        """


def evaluation_ids(splits: Artifact) -> tuple[str, ...]:
    """Ids of the images of the evaluation split, sorted: the gallery."""
    table = splits.table(columns=["image_id", "split"]).to_pydict()
    return tuple(
        sorted(
            image_id for image_id, split in zip(table["image_id"], table["split"], strict=True) if split == "evaluation"
        )
    )
