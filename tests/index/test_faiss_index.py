"""Indexes: the right kind, the same bytes, the reported recall, the same answers when mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spn4cir_core.index import faiss_index
from spn4cir_core.index.base import INDEXES
from spn4cir_core.index.image_index import best_images, build_index, candidate_images, measured_recall
from spn4cir_core.search.settings import SearchSettings

CLASSES = {"flat": "IndexFlatIP", "ivf": "IndexIVFFlat", "hnsw": "IndexHNSWFlat"}


def settings(kind: str, **more: object) -> SearchSettings:
    above = {"flat": {}, "ivf": {"flat_up_to": 100, "probed_share": 0.3}, "hnsw": {"flat_up_to": 100, "above": "hnsw"}}
    return SearchSettings.model_validate({**above[kind], **more})


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    drawn = np.random.default_rng(0).standard_normal((3000, 16)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def slow_best(vectors: np.ndarray, query: np.ndarray, wanted: int, tokens: int) -> list[int]:
    scores = [max(float(vector @ query) for vector in image) for image in vectors.reshape(-1, tokens, 16)]
    return sorted(range(len(scores)), key=lambda image: -scores[image])[:wanted]


@pytest.mark.parametrize("kind", CLASSES)
def test_each_kind_finds_nearly_what_a_slow_scan_finds(vectors: np.ndarray, kind: str) -> None:
    import faiss

    index, queries = build_index(vectors, settings(kind), 0), vectors[:30] + 0.1 * vectors[30:60]
    assert (type(index).__name__, settings(kind).kind_for(len(vectors))) == (CLASSES[kind], kind)
    result = [[image for _, image in best_images(index, query[None], 10, 1)] for query in queries]
    right = [slow_best(vectors, query, 10, 1) for query in queries]
    share = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(result, right, strict=True)])
    assert measured_recall(index, vectors, queries, 1, 10) == pytest.approx(share)
    assert (result == right) if kind == "flat" else (share > 0.7)
    again = faiss.serialize_index(build_index(vectors, settings(kind), 0))
    assert np.array_equal(faiss.serialize_index(index), again)


@pytest.mark.parametrize(("flat_up_to", "class_name"), [(5000, "IndexPQFastScan"), (100, "IndexIVFPQFastScan")])
def test_codes_propose_what_a_slow_scan_finds(
    vectors: np.ndarray, tmp_path: Path, flat_up_to: int, class_name: str
) -> None:
    import faiss

    codes = INDEXES.build({"kind": "codes", "flat_up_to": flat_up_to, "probed_share": 1.0})
    index = codes.build(vectors, 0)
    assert type(index).__name__ == class_name
    assert np.array_equal(faiss.serialize_index(index), faiss.serialize_index(codes.build(vectors, 0)))
    codes.write(index, tmp_path / "codes")
    opened = codes.open(tmp_path / "codes")
    for query in vectors[:30] + 0.1 * vectors[30:60]:
        proposed = candidate_images(opened, query[None], 300, 1)[0].tolist()
        assert len(proposed) == len(set(proposed)) == 300
        assert set(slow_best(vectors, query, 10, 1)) <= set(proposed)
        assert slow_best(vectors, query, 1, 3)[0] in candidate_images(opened, query[None], 100, 3)[0]


@pytest.mark.parametrize("flat_up_to", [5000, 100], ids=["all codes", "codes in cells"])
def test_codes_propose_the_same_whoever_asks_beside(vectors: np.ndarray, flat_up_to: int) -> None:
    index = INDEXES.build({"kind": "codes", "flat_up_to": flat_up_to, "probed_share": 0.3}).build(vectors, 0)
    queries = vectors[:70] + 0.1 * vectors[70:140]
    alone = [set(candidate_images(index, query[None], 300, 1)[0].tolist()) for query in queries]
    for count in (2, 5, 33, 70):
        together = candidate_images(index, queries[:count], 300, 1)
        assert [set(images.tolist()) for images in together] == alone[:count]


def test_too_few_vectors_are_compared_as_they_are_and_odd_dimensions_have_codes(vectors: np.ndarray) -> None:
    codes = INDEXES.build("codes")
    assert type(codes.build(vectors[:999], 0)).__name__ == "IndexFlatIP"
    index = codes.build(vectors[:, :15], 0)
    assert vectors[5, :15] @ vectors[5, :15] > 0 and 5 in candidate_images(index, vectors[5:6, :15], 10, 1)[0]


def test_an_index_that_finds_little_says_so(vectors: np.ndarray) -> None:
    blind = build_index(vectors, settings("ivf", probed_share=0.001), 0)
    assert blind.nprobe == 1
    assert measured_recall(blind, vectors, vectors[:30] + 0.3 * vectors[30:60], 1, 10) < 0.6


@pytest.mark.parametrize("kind", CLASSES)
def test_images_of_several_vectors_are_as_good_as_their_best(vectors: np.ndarray, kind: str) -> None:
    index, query = build_index(vectors, settings(kind, probed_share=1.0), 0), vectors[7] + 0.2 * vectors[9]
    result = best_images(index, query[None], 12, 3)
    assert len({image for _, image in result}) == 12
    assert [image for _, image in result][:5] == slow_best(vectors, query, 5, 3)
    assert result == sorted(result, key=lambda hit: (-hit[0], hit[1]))
    assert measured_recall(index, vectors, query[None], 3, 5) == 1


@pytest.mark.parametrize("kind", CLASSES)
def test_large_files_are_mapped_and_answer_the_same(
    vectors: np.ndarray, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import faiss

    path = tmp_path / "index.faiss"
    faiss.write_index(build_index(vectors, settings(kind), 0), str(path))
    in_memory = INDEXES.build(kind).open(path)
    monkeypatch.setattr(faiss_index, "MAPPED_FROM_BYTES", 1)
    mapped = INDEXES.build(kind).open(path)
    for query in vectors[:5]:
        assert best_images(mapped, query[None], 9, 1) == best_images(in_memory, query[None], 9, 1)
    if (maps := Path("/proc/self/maps")).is_file():
        assert str(path) in maps.read_text()
