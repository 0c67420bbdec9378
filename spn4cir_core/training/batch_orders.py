"""Which triplets stand in a batch together: any, neighbours, those of one category, or of one reference image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np
from pydantic import Field
from typing_extensions import override

from spn4cir_core.engine.plugins import Plugin

BISECTION_ROUNDS = 4


class Targets(Protocol):
    """What a batch order may ask about the targets and reference images of the T training triplets."""

    def vectors(self) -> np.ndarray:
        """(T, D) unit vectors."""

    def categories(self) -> Sequence[str]:
        """Category of each."""

    def references(self) -> np.ndarray:
        """(T,) number of each reference image, equal where it is the same."""


class BatchOrder(Plugin):
    """Puts triplets into groups; a batch is made of whole runs of ``batch_size / groups_per_batch`` of a group."""

    @abstractmethod
    def groups(self, targets: Targets, seed: int) -> np.ndarray | None:
        """(T,) group number of each triplet; None: no groups, every epoch is a plain permutation."""

    @property
    def runs_per_batch(self) -> int:
        """How many groups meet in a batch."""
        return 1


class RandomBatches(BatchOrder):
    """Every epoch in an order of its own."""

    plugin_kind: ClassVar[str] = "random"

    @override
    def groups(self, targets: Targets, seed: int) -> np.ndarray | None:
        return None


class Clustered(BatchOrder):
    """Batches of a few clusters of near targets, so that in-batch negatives are hard (NGAME, Dahiya et al. 2023).

    Helps in-batch losses with small batches; with a whole bank as negatives it changes only which queries step
    together. Hurts where near targets are unlabelled positives: guard them. The vectors are the bank's in stage 2 and
    the image encoder's in stage 1; both are fixed, so clusters are made once, and what varies from epoch to epoch is
    which triplets of a cluster, and which clusters, meet.
    """

    plugin_kind: ClassVar[str] = "clustered"
    cluster_size: int = Field(default=128, ge=2)
    """Most triplets of a cluster."""
    clusters_per_batch: int = Field(default=4, ge=1)

    @property
    @override
    def runs_per_batch(self) -> int:
        return self.clusters_per_batch

    @override
    def groups(self, targets: Targets, seed: int) -> np.ndarray | None:
        return balanced_clusters(targets.vectors(), self.cluster_size, seed)


class SameCategory(BatchOrder):
    """Batches of targets of one category: negatives of a dress are dresses, not shoes.

    Helps where a category is plain from the picture alone and recall is measured inside it (FashionIQ); hurts where
    the gallery mixes categories that are hardly ever seen together in training.
    """

    plugin_kind: ClassVar[str] = "same_category"

    @override
    def groups(self, targets: Targets, seed: int) -> np.ndarray | None:
        return np.unique(np.asarray(targets.categories(), dtype=str), return_inverse=True)[1]


class SameReference(BatchOrder):
    """Batches in which triplets of one reference image meet, so that their texts are hard negatives of each other.

    With ``in_batch`` and ``direction = "both"`` a target must then prefer its own text to texts that change another
    thing of the same picture: hard negative texts that lead to a target of their own. Helps models that overlook words;
    hurts where one text fits both targets: guard them. Not measured.
    """

    plugin_kind: ClassVar[str] = "same_reference"
    references_per_batch: int = Field(default=64, ge=1)
    """``batch_size`` divided by it is how many triplets of a reference image meet; those that are left fill up."""

    @property
    @override
    def runs_per_batch(self) -> int:
        return self.references_per_batch

    @override
    def groups(self, targets: Targets, seed: int) -> np.ndarray | None:
        return np.unique(targets.references(), return_inverse=True)[1]


def balanced_clusters(vectors_TD: np.ndarray, cluster_size: int, seed: int) -> np.ndarray:
    """(T,) cluster numbers of clusters of at most ``cluster_size`` rows, by halving along 2-means directions.

    Time O(T · D · log(T / cluster_size)). The halves of a cluster differ by at most one row.
    """
    clusters_T = np.zeros(len(vectors_TD), np.int64)
    random = np.random.default_rng(seed)
    waiting, done = [np.arange(len(vectors_TD))], 0
    while waiting:
        rows = waiting.pop()
        if len(rows) <= cluster_size:
            clusters_T[rows] = done
            done += 1
        else:
            waiting += _halves(rows, vectors_TD, random)
    return clusters_T


def _halves(rows: np.ndarray, vectors_TD: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
    own_RD = np.asarray(vectors_TD[rows], np.float32)
    ends = random.choice(len(rows), 2, replace=False)
    direction_D = own_RD[ends[0]] - own_RD[ends[1]]
    for _ in range(BISECTION_ROUNDS):
        order = np.argsort(own_RD @ direction_D, kind="stable")
        low, high = np.array_split(order, 2)
        direction_D = own_RD[high].mean(axis=0) - own_RD[low].mean(axis=0)
    return [rows[low], rows[high]]


def grouped_order(
    visits_V: np.ndarray, groups_V: np.ndarray, run: int, lead: int, random: np.random.Generator
) -> np.ndarray:
    """An order of an epoch's visits in runs of one group.

    What is left of the groups after whole runs fills the ``lead`` places that complete the epoch before's last batch,
    and the end; so every run lies inside one batch as long as batches are a multiple of ``run``.
    """
    shuffled = random.permutation(len(visits_V))
    by_group = shuffled[np.argsort(groups_V[shuffled], kind="stable")]
    edges = np.flatnonzero(np.diff(groups_V[by_group])) + 1
    runs: list[np.ndarray] = []
    rest: list[np.ndarray] = []
    for members in np.split(by_group, edges):
        whole = len(members) // run * run
        runs += np.split(members[:whole], whole // run) if whole else []
        rest.append(members[whole:])
    runs = [runs[number] for number in random.permutation(len(runs))]
    while runs and sum(map(len, rest)) < lead:
        rest.append(runs.pop())
    left = random.permutation(np.concatenate(rest)) if rest else np.empty(0, np.int64)
    order: np.ndarray = visits_V[np.concatenate([left[:lead], *runs, left[lead:]]).astype(np.int64)]
    return order
