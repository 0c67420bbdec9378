"""An index of a grown or shrunken corpus: only new pictures are encoded, removed ones are gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spn4cir_core.evaluation.encode import encode_gallery
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.search import target_vectors
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.settings import SearchSettings
from spn4cir_core.search.stage import SEARCH_INDEX
from spn4cir_core.search.target_vectors import TargetVectors, target_fingerprint
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.checkpoints import load_checkpoint
from tests.measured_store import NAME, image_rows, measured_store, recipe, write, write_checkpoint


def corpus_of(store: Store, rows: list[dict[str, Any]], made: str) -> None:
    """Make these the recipe's images."""
    attributes = pa.array([[] for _ in rows], pa.map_(pa.string(), pa.string()))
    columns = {key: [row[key] for row in rows] for key in ("image_id", "path", "category", "pixel_sha256")}
    columns["corpus"] = ["" for _ in rows]
    write(store, "images", {"images.parquet": pa.table({**columns, "attributes": attributes})}, key=made)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each batch that went through the target encoder really held."""
    batches: list[int] = []
    true = TargetVectors._encode

    def encode(self: TargetVectors, inputs: list[Any]) -> pa.Array:
        batches.append(len(inputs))
        return true(self, inputs)

    monkeypatch.setattr(TargetVectors, "_encode", encode)
    return batches


def index_of(store: Store) -> Artifact:
    return SEARCH_INDEX.run(recipe(store.root.parent / "pictures"), store)[0]


def test_only_new_pictures_are_encoded_and_removed_ones_vanish(tmp_path: Path, counted: list[int]) -> None:
    store, rows = measured_store(tmp_path / "grown"), image_rows()
    corpus_of(store, rows[:30], "few")
    first = index_of(store)
    assert (counted, first.details["encoded"], first.details["reused"]) == ([30], 30, 0)
    corpus_of(store, rows[3:34], "moved")
    second = index_of(store)
    assert (counted, second.details["encoded"], second.details["reused"]) == ([30, 4], 4, 27)
    hits = Searcher.open(second).search(None, "a red circle", 100, once="all")
    assert {hit.image_id for hit in hits} == {row["image_id"] for row in rows[3:34]}
    anew = measured_store(tmp_path / "anew")
    corpus_of(anew, rows[3:34], "moved")
    right = Searcher.open(index_of(anew)).search(None, "a red circle", 100, once="all")
    assert [hit.image_id for hit in hits] == [hit.image_id for hit in right]
    assert np.allclose([hit.score for hit in hits], [hit.score for hit in right], atol=1e-6)


def test_vectors_are_those_of_the_target_encoder_in_the_order_asked_for(store: Store, pictures: Path) -> None:
    artifact = store.current(NAME, "stage2_checkpoint")
    assert artifact is not None
    checkpoint, rows = load_checkpoint(artifact), image_rows()
    wanted = [rows[5], rows[2], rows[5], rows[33]]
    table = pa.table({key: [row[key] for row in wanted] for key in ("path", "pixel_sha256")})
    files = ImageFiles(pictures)
    vectors = TargetVectors(checkpoint, files, store).of(table)
    inputs = checkpoint.network.read_images([files.open(row["path"]) for row in wanted])
    assert np.allclose(vectors, encode_gallery(checkpoint.network, inputs), atol=1e-6)
    assert vectors.dtype == np.float32 and not len(TargetVectors(checkpoint, files, store).missing(table))


def test_other_target_encoders_share_nothing(store: Store, tmp_path: Path) -> None:
    import torch

    artifact = store.current(NAME, "stage2_checkpoint")
    assert artifact is not None
    one, same = load_checkpoint(artifact), load_checkpoint(artifact)
    other = load_checkpoint(write_checkpoint(measured_store(tmp_path), "stage2_checkpoint", seed=9))
    assert target_fingerprint(one) == target_fingerprint(same) != target_fingerprint(other)
    frozen = {tensor.data_ptr() for tensor in target_vectors.frozen_tensors(same.network)}
    moving = [each for each in same.network.parameters() if each.data_ptr() not in frozen]  # type: ignore[attr-defined]
    with torch.no_grad():
        moving[0].add_(1)  # as stage 2 does
    assert target_fingerprint(one) == target_fingerprint(same)


@pytest.mark.parametrize("above", ["ivf", "hnsw"])
def test_an_approximate_index_says_how_much_it_finds(store: Store, pictures: Path, above: str) -> None:
    settings = SearchSettings.model_validate({"flat_up_to": 20, "above": above, "probed_share": 1.0})
    made, _ = SEARCH_INDEX.run(recipe(pictures).model_copy(update={"search_index": settings}), store)
    assert (made.details["kind"], made.details["recall_queries"]) == (above, 36)
    assert made.details["recall@10"] == 1
    assert len(Searcher.open(made).search(None, "a red circle", 100, once="all")) == 36
