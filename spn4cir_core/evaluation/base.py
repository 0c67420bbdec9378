"""Base class of the evaluators, which make query sets, and the table of them."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from spn4cir_core.engine.plugins import Plugin, Room
from spn4cir_core.evaluation.ranks import Ties
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.splits.split_tables import split_of_images
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.fingerprints import fingerprint

EVALUATORS = Room(
    "evaluator",
    {
        "annotated": "spn4cir_core.evaluation.annotated:Annotated",
        "circo": "spn4cir_core.evaluation.circo:Circo",
        "cirr": "spn4cir_core.evaluation.cirr:Cirr",
        "fashioniq": "spn4cir_core.evaluation.fashioniq:FashionIq",
        "genecis": "spn4cir_core.evaluation.genecis:GeneCis",
        "labels": "spn4cir_core.evaluation.labels:Labels",
        "held_out": "spn4cir_core.evaluation.held_out:HeldOut",
    },
)

NEGATION = "negation"
_NEGATION = re.compile(r"\b(?:no|not|without|never|none|neither|nor|cannot)\b|n['’]t\b", re.IGNORECASE)


def has_negation(text: str) -> bool:
    """Whether an English text says what must not be there ("without a belt", "not red"), as NeIn asks."""
    return _NEGATION.search(text) is not None


MAP_K = 10
"""The k of the mean average precision that every query set has."""


@dataclass(frozen=True)
class Query:
    """One composed query; any of its targets is right."""

    query_id: str
    reference_id: str
    modified_text: str
    target_ids: tuple[str, ...]
    kind: str = ""
    """Kind of modification; several are separated by ``|``."""
    gallery: str = ""
    """Name of the gallery it is asked of, one of :attr:`QuerySet.galleries`; empty: all of ``gallery_ids``."""
    more_reference_ids: tuple[str, ...] = ()
    """Further reference images; the score is the mean over all of them."""
    negative_ids: tuple[str, ...] = ()
    """Images of the gallery that people marked as wrong answers (explicit negatives)."""
    wording_of: str = ""
    """Names the queries that say the same thing in different words; empty: this one has no other wording."""
    weight: float = 1.0
    """How many queries it stands for in means over queries."""

    @property
    def reference_ids(self) -> tuple[str, ...]:
        """All its reference images."""
        return (self.reference_id, *self.more_reference_ids)

    @property
    def kinds(self) -> frozenset[str]:
        """Its kinds of modification; ``negation`` where the text says what must not be there."""
        by_text = {NEGATION} if has_negation(self.modified_text) else set()
        return frozenset(filter(None, self.kind.split("|"))) | by_text


def query_weights(queries: Sequence[Query]) -> np.ndarray | None:
    """(Q,) how many queries each stands for; None where each stands for itself."""
    return weights_of([query.weight for query in queries])


def weights_of(weights: Sequence[float]) -> np.ndarray | None:
    """(Q,) the weights; None where all are 1, so that means are those without any."""
    weight_Q = np.array(weights, np.float64)
    return None if (weight_Q == 1).all() else weight_Q


@dataclass(frozen=True)
class QuerySet:
    """Queries that share a protocol."""

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
    galleries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Parts of ``gallery_ids`` that some queries are asked of, by name."""
    ks: tuple[int, ...] = ()
    """The k of recall@k that its benchmark asks for; empty: those of the report."""
    map_ks: tuple[int, ...] = (MAP_K,)
    """The k of mAP@k; always with ``MAP_K``."""
    published: bool = False
    """Whether figures are compared with published ones, which read no captions of the gallery."""

    ties: Ties = "half"
    """How candidates that score as the target does are ranked, see :mod:`.ranks`."""
    asks_equal_pixels: bool = False
    """Whether queries are asked whose reference and target are equal pixels, as published: the target, a file of its
    own there, then stays in the ranking where the reference is removed."""

    @property
    def gallery_fingerprint(self) -> str:
        """Equal for sets whose queries are asked of the same images, the reference removed alike."""
        parts = {name: list(image_ids) for name, image_ids in self.galleries.items()}
        return fingerprint([list(self.gallery_ids), parts, self.remove_reference])

    def removed_for(self, query: Query) -> tuple[str, ...]:
        """Ids of the images that are not ranked for a query: its reference image where it is removed."""
        equal = self.asks_equal_pixels and query.reference_id in query.target_ids
        return query.reference_ids if self.remove_reference and not equal else ()

    def gallery_of(self, query: Query) -> tuple[str, ...]:
        """The images that a query is asked of, its reference included if it is one of them."""
        return self.galleries[query.gallery] if query.gallery else self.gallery_ids


class Evaluator(Plugin):
    """Makes query sets from the annotations, captions and splits of a corpus."""

    @abstractmethod
    def query_sets(self, parents: Mapping[str, Artifact], files: ImageFiles, seed: int) -> Sequence[QuerySet]:
        """The query sets, all over images of the evaluation split; none where the corpus has nothing to ask.

        Args:
            parents: images, annotations, splits, captions and triplets, by noun.
            files: opens the pictures, by path.
            seed: of whatever is drawn at random.
        """


def evaluation_ids(splits: Artifact) -> tuple[str, ...]:
    """Ids of the images of the evaluation split, sorted: the gallery."""
    return tuple(sorted(image_id for image_id, split in split_of_images(splits).items() if split == "evaluation"))
