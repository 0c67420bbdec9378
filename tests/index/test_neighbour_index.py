from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import pytest

from spn4cir_core.errors import InputError
from spn4cir_core.index.neighbour_index import NeighbourIndex
from tests.pairs.conftest import clustered, slow_ranking


def test_an_inverted_file_measures_its_recall() -> None:
    vectors = clustered(3000, 16)
    index = NeighbourIndex(vectors, flat_up_to=1000)
    assert index.details["index"] == "ivf"
    _, result = index.search(vectors[:50], 11)
    truth = [set(slow_ranking(vectors, row)[:10]) for row in range(50)]
    recall = np.mean([len(truth[row] & set(result[row])) / 10 for row in range(50)])
    assert recall > 0.85
    assert index.details["recall_at_10"] >= 0.95


def test_all_rows_within_a_score_are_found() -> None:
    vectors = clustered(300, 16)
    scores = vectors[:40].astype(np.float64) @ vectors.T.astype(np.float64)
    assert np.abs(scores - 0.5).min() > 1e-6, "a score at the edge would make the answer a matter of rounding"
    position, row = NeighbourIndex(vectors).within(vectors[:40], 0.5)
    assert sorted(zip(position.tolist(), row.tolist(), strict=True)) == list(
        map(tuple, np.argwhere(scores > 0.5).tolist())
    )


def test_more_neighbours_than_a_gpu_gives_are_refused() -> None:
    with pytest.raises(InputError, match="2048"):
        NeighbourIndex(clustered(10, 4)).search(clustered(10, 4), 2049)


class GpuCopy:
    """Stands for a FAISS index on a GPU, of which there is none where tests run: finds k rows at most, no ranges."""

    def __init__(self, index: Any) -> None:
        self.index, self.requests, self.nprobe = index, [], 1

    def search(self, queries: np.ndarray, k: int) -> Any:
        assert k <= 2048
        self.requests.append(k)
        return self.index.search(queries, k)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> list[GpuCopy]:
    copies: list[GpuCopy] = []

    def copy(resources: Any, device: int, index: Any) -> GpuCopy:
        copies.append(GpuCopy(index))
        return copies[-1]

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", copy, raising=False)
    return copies


def test_a_gpu_finds_neighbours_and_the_cpu_ranges(gpu: list[GpuCopy]) -> None:
    vectors = clustered(300, 16)
    index = NeighbourIndex(vectors)
    index.search(vectors[:5], 7)
    index.within(vectors[:5], 0.5)
    assert [copy.requests for copy in gpu] == [[7]]


def test_a_gpu_visits_the_lists_that_were_tuned(gpu: list[GpuCopy]) -> None:
    index = NeighbourIndex(clustered(3000, 16), flat_up_to=1000)
    assert gpu[0].nprobe == index.details["lists_visited"]


def test_a_gpu_without_room_leaves_the_search_to_the_cpu(
    monkeypatch: pytest.MonkeyPatch, gpu: list[GpuCopy], caplog: pytest.LogCaptureFixture
) -> None:
    def no_room(*given: Any) -> Any:
        raise RuntimeError("Error in ...: out of memory")

    monkeypatch.setattr(faiss, "index_cpu_to_gpu", no_room)
    vectors = clustered(300, 16)
    _, rows = NeighbourIndex(vectors).search(vectors[:5], 1)
    assert rows[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert "on the CPU" in caplog.text


@pytest.mark.skipif(faiss.get_num_gpus() == 0, reason="FAISS sees no GPU here")
def test_a_real_gpu_finds_what_the_cpu_finds() -> None:
    vectors = clustered(3000, 32)
    index = NeighbourIndex(vectors)
    _, on_gpu = index.search(vectors[:100], 20)
    _, on_cpu = index._index.search(np.ascontiguousarray(vectors[:100], np.float32), 20)
    assert np.mean(on_gpu == on_cpu) > 0.99


@pytest.mark.parametrize("search", ["search", "within"])
def test_middling_batches_are_one_matrix_product(monkeypatch: pytest.MonkeyPatch, search: str) -> None:
    vectors = clustered(300, 16)
    index = NeighbourIndex(vectors)
    monkeypatch.setattr(faiss.cvar, "distance_compute_blas_threshold", 128_000)
    getattr(index, search)(vectors[:5], 7)
    assert faiss.cvar.distance_compute_blas_threshold <= 4 * 16
