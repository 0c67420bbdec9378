from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from spn4cir_core.training.batch_orders import (
    Clustered,
    RandomBatches,
    SameCategory,
    SameReference,
    balanced_clusters,
    grouped_order,
)
from spn4cir_core.training.triplet_batches import TrainingTriplets


class Known:
    """Targets in well-separated blobs, two categories."""

    def __init__(self, blobs: int, each: int) -> None:
        random = np.random.default_rng(0)
        self.blob = np.tile(np.arange(blobs), each)
        centres = random.standard_normal((blobs, 8)) * 10
        self._vectors = (centres[self.blob] + random.standard_normal((len(self.blob), 8)) * 0.01).astype(np.float32)

    def vectors(self) -> np.ndarray:
        return self._vectors

    def references(self) -> np.ndarray:
        return self.blob

    def categories(self) -> Sequence[str]:
        return ["even" if blob % 2 == 0 else "odd" for blob in self.blob]


def test_clusters_hold_near_targets_and_are_full() -> None:
    known = Known(blobs=8, each=16)
    groups = Clustered(cluster_size=16).groups(known, 0)
    assert groups is not None and sorted(Counter(groups.tolist()).values()) == [16] * 8
    assert all(len(set(known.blob[groups == group])) == 1 for group in set(groups.tolist()))
    assert RandomBatches().groups(known, 0) is None


@pytest.mark.parametrize("rows", [1, 2, 33, 100])
def test_clusters_are_full_to_a_half_at_least(rows: int) -> None:
    clusters = balanced_clusters(np.random.default_rng(1).standard_normal((rows, 4)).astype(np.float32), 8, 0)
    sizes = Counter(clusters.tolist())
    assert max(sizes.values()) <= 8 and min(sizes.values()) >= min(rows, 4)
    assert sorted(sizes) == list(range(len(sizes)))


def test_equal_vectors_are_clustered_too() -> None:
    assert max(Counter(balanced_clusters(np.zeros((50, 3), np.float32), 8, 0).tolist()).values()) <= 8


def triplets(groups: np.ndarray | None, runs_per_batch: int) -> TrainingTriplets:
    count = 45
    return TrainingTriplets(
        ids=[str(row) for row in range(count)],
        references=np.arange(count),
        targets=np.arange(count),
        texts=[["text"]] * count,
        weights=np.ones(count, np.float32),
        visits=np.repeat(np.arange(count), 1 + np.arange(count) % 2),
        candidates=None,
        groups=groups,
        runs_per_batch=runs_per_batch,
    )


@pytest.mark.parametrize("runs_per_batch", [1, 2])
def test_batches_are_made_of_runs_of_one_group_and_every_epoch_visits_all(runs_per_batch: int) -> None:
    groups = np.arange(45) % 3
    training = triplets(groups, runs_per_batch)
    batches = [training.batch(0, "stage1", step, 8).triplets_B for step in range(67)]
    seen = np.concatenate(batches)
    for epoch in range(8):
        assert Counter(seen[epoch * 67 : (epoch + 1) * 67].tolist()) == Counter(training.visits.tolist())
    pure = sum(len(set(groups[run])) == 1 for batch in batches for run in np.split(batch, runs_per_batch))
    assert pure / (67 * runs_per_batch) > 0.6, "all but what is left over of the groups"
    orders = [seen[:67].tolist(), seen[67:134].tolist()]
    assert orders[0] != orders[1]


def test_what_is_left_over_fills_the_batch_that_the_epoch_before_began() -> None:
    visits, groups = np.arange(20), np.repeat([0, 1], 10)
    order = grouped_order(visits, groups, 4, 3, np.random.default_rng(0))
    assert sorted(order.tolist()) == visits.tolist()
    for start in range(3, 19, 4):
        assert len(set(groups[order[start : start + 4]])) == 1
    assert sorted(grouped_order(visits, groups, 10, 7, np.random.default_rng(0)).tolist()) == visits.tolist()


def test_categories_become_groups() -> None:
    known = Known(blobs=4, each=3)
    groups = SameCategory().groups(known, 0)
    assert groups is not None and (groups == known.blob % 2).all()


def test_triplets_of_one_reference_meet() -> None:
    known, order = Known(blobs=20, each=4), SameReference(references_per_batch=8)
    groups = order.groups(known, 0)
    assert groups is not None and (groups == known.blob).all() and order.runs_per_batch == 8
    rows = grouped_order(np.arange(80), groups, 16 // order.runs_per_batch, 0, np.random.default_rng(0))
    pairs = known.blob[rows].reshape(-1, 2)
    assert (pairs[:, 0] == pairs[:, 1]).all() and sorted(rows.tolist()) == list(range(80))
