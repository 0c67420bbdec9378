from __future__ import annotations

import numpy as np
import pytest

from spn4cir_core.embeddings.neighbour_index import NeighbourIndex
from spn4cir_core.errors import InputError
from tests.pairs.conftest import clustered, slow_ranking


def test_an_inverted_file_measures_its_recall() -> None:
    vectors = clustered(3000, 16)
    index = NeighbourIndex(vectors, flat_up_to=1000)
    assert index.details["index"] == "ivf"
    _, found = index.search(vectors[:50], 11)
    truth = [set(slow_ranking(vectors, row)[:10]) for row in range(50)]
    recall = np.mean([len(truth[row] & set(found[row])) / 10 for row in range(50)])
    assert recall > 0.85
    assert index.details["recall_at_10"] >= 0.95


def test_all_rows_within_a_score_are_found() -> None:
    vectors = clustered(300, 16)
    scores = vectors[:40].astype(np.float64) @ vectors.T.astype(np.float64)
    assert np.abs(scores - 0.5).min() > 1e-6, "a score at the edge would make the answer a matter of rounding"
    place, row = NeighbourIndex(vectors).within(vectors[:40], 0.5)
    assert sorted(zip(place.tolist(), row.tolist(), strict=True)) == list(
        map(tuple, np.argwhere(scores > 0.5).tolist())
    )


def test_more_neighbours_than_a_gpu_gives_are_refused() -> None:
    with pytest.raises(InputError, match="2048"):
        NeighbourIndex(clustered(10, 4)).search(clustered(10, 4), 2049)
