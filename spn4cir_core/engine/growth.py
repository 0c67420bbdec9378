"""How the work of a stage grows with a corpus: the law that stands on each stage, and what it is a function of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spn4cir_core.engine.plugins import Settings

ROW_BYTES = 1500
"""Memory of one row of ids and text as Python objects: a round figure, counted and not measured."""
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Corpus:
    """Counts of a corpus and of the artefacts made from it."""

    images: float
    splits: Mapping[str, float]
    """Images of the splits ``train``, ``validation`` and ``evaluation``."""
    dimensions: int
    """Dimensions of an image embedding."""
    pairs: float
    generated: float
    """Generated triplets of the training split."""
    annotated: float
    """Annotated triplets of the training split."""
    annotated_repeats: int
    """Times that an epoch visits an annotated triplet."""
    candidates: float
    excluded: Mapping[str, float]
    """Guard → its rows of false negatives per triplet."""
    bank_dimensions: int
    """Dimensions of a candidate's vectors, all its vectors together."""
    queries: Mapping[str, float]
    """Query set → number of queries."""
    lists_visited: int
    """Lists of an inverted file that a search visits."""

    @property
    def triplets(self) -> float:
        """All triplets of the training split."""
        return self.generated + self.annotated

    @property
    def epoch(self) -> float:
        """Triplet visits of one epoch."""
        return self.generated + self.annotated * self.annotated_repeats

    @property
    def excluded_per_triplet(self) -> float:
        """Rows of false negatives per triplet, all guards together."""
        return sum(self.excluded.values())


@dataclass(frozen=True)
class Load:
    """The work of one stage on one corpus."""

    rows: float
    """Units of work that cost the same time each."""
    unit: str
    """Singular name of such a unit."""
    products: float = 0.0
    """Multiply-adds on the processor, beside the work on the rows."""
    accelerator_products: float = 0.0
    """Multiply-adds on the GPU where there is one."""
    read_rows: float | None = None
    """Rows that are read and written, where they are not ``rows``; for example pictures."""
    held_rows: float | None = None
    """Rows in memory at a time, where they are not ``rows``."""
    held_floats: float = 0.0
    """Float32 numbers in memory at a time; files that are memory-mapped are not counted."""

    @property
    def memory_bytes(self) -> float:
        """Memory that grows with the corpus, beside libraries and models."""
        rows = self.rows if self.held_rows is None else self.held_rows
        return rows * ROW_BYTES + self.held_floats * FLOAT_BYTES


def per_image(corpus: Corpus, settings: Settings) -> Load:
    """The same work for every image."""
    return Load(corpus.images, "image")


def per_pair(corpus: Corpus, settings: Settings) -> Load:
    """The same work for every pair."""
    return Load(corpus.pairs, "pair")


def per_candidate(corpus: Corpus, settings: Settings) -> Load:
    """The same work for every candidate image."""
    return Load(corpus.candidates, "candidate")


def constant(corpus: Corpus, settings: Settings) -> Load:
    """The same work for every corpus."""
    return Load(1, "run")
