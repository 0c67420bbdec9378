"""Stage 1 and the control beside stage 2: right hits with shared and with own candidate vectors, honest refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spn4cir_core.evaluation.encode import encode_gallery, frozen_tensors
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.search import models as module
from spn4cir_core.search.models import OWN, SHARED, Models, NoSuchModel
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.stage import SEARCH_INDEX
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.checkpoints import Resume, load_checkpoint, load_network
from tests.measured_store import NAME, image_rows, measured_store, recipe, write_checkpoint


def current(store: Store, noun: str) -> Artifact:
    artifact = store.current(NAME, noun)
    assert artifact is not None
    return artifact


def as_stage1_of_stage2(store: Store, **parents: str) -> Artifact:
    """A stage 1 with stage 2's target encoder and another query encoder."""
    import torch

    checkpoint = load_checkpoint(current(store, "stage2_checkpoint"))
    frozen = {tensor.data_ptr() for tensor in frozen_tensors(checkpoint.network)}
    with torch.no_grad():
        for number, each in enumerate(checkpoint.network.parameters()):  # type: ignore[attr-defined]
            if each.data_ptr() not in frozen:
                each.add_(torch.randn(each.shape, generator=torch.Generator().manual_seed(number)))
    provenance: dict[str, Any] = {"stage": "stage1_checkpoint", "version": 1, "settings": {}, "outside": None}
    with store.writing("stage1_checkpoint", "shared", {**provenance, "parents": parents}) as draft:
        Resume(draft).finish(checkpoint.backbone, checkpoint.network, 0.05, [])
    artifact = store.get("stage1_checkpoint", "shared")
    assert artifact is not None
    store.point(NAME, artifact)
    return artifact


@pytest.fixture
def own(tmp_path: Path) -> Store:
    store = measured_store(tmp_path)
    SEARCH_INDEX.run(recipe(tmp_path / "pictures"), store)
    return store


def models_of(store: Store) -> Models:
    made = recipe(store.root.parent / "pictures")
    return Models.of_recipe(made.name, made.images, store)


def assert_hits_are_those_of_a_slow_scan(models: Models, name: Any, checkpoint: Artifact, store: Store) -> None:
    import torch

    network, files = load_network(checkpoint), ImageFiles(store.root.parent / "pictures")
    paths = [row["path"] for row in image_rows()]
    gallery = encode_gallery(network, network.read_images([files.open(path) for path in paths]))
    reference = files.open(paths[4])
    with torch.inference_mode():
        query = network.encode_query(
            torch.from_numpy(network.read_images([reference])), network.tokenize(["a red circle"])
        ).numpy()[0]
    hits = models.open(name).searcher.search(reference, "a red circle", 36, once="all")
    scores = gallery @ query
    assert np.allclose([hit.score for hit in hits], np.sort(np.delete(scores, 4))[::-1], atol=1e-5)
    assert np.allclose([hit.score for hit in hits], [scores[paths.index(hit.path)] for hit in hits], atol=1e-5)


def test_models_with_target_encoders_of_their_own_get_their_own_vectors(own: Store) -> None:
    models = models_of(own)
    assert [(model.name, model.missing) for model in models.listed()] == [
        ("blend", ""),
        ("stage2", ""),
        ("stage1", ""),
        ("control", ""),
    ]
    for name, noun in (("stage1", "stage1_checkpoint"), ("control", "control_checkpoint")):
        assert_hits_are_those_of_a_slow_scan(models, name, current(own, noun), own)
        assert models.open(name).vectors == OWN  # type: ignore[arg-type]
    assert models.open("stage1") is models.open("stage1")
    assert (models.open("blend").searcher, models.open("blend").vectors) == (models.indexed, "")


def test_a_model_with_stage_2s_target_encoder_shares_the_index(own: Store) -> None:
    checkpoint = as_stage1_of_stage2(own)
    models = models_of(own)
    opened = models.open("stage1")
    assert opened.vectors == SHARED and opened.searcher.index is models.indexed.index
    assert_hits_are_those_of_a_slow_scan(models, "stage1", checkpoint, own)
    ours, theirs = (each.query(None, "a red circle") for each in (models.indexed, opened.searcher))
    assert not np.allclose(ours, theirs)


def test_what_the_store_does_not_hold_cannot_be_asked(own: Store) -> None:
    for noun in ("stage1_checkpoint", "control_checkpoint"):
        shutil.rmtree(current(own, noun).path)
    models = models_of(own)
    assert [bool(model.missing) for model in models.listed()] == [False, False, True, True]
    with pytest.raises(NoSuchModel, match="holds no control_checkpoint"):
        models.open("control")
    with pytest.raises(NoSuchModel, match="only the index"):
        Models(models.indexed).open("stage1")


def test_checkpoints_of_another_stage_1_have_no_place_beside_the_index(own: Store) -> None:
    index, stage1 = current(own, "search_index"), current(own, "stage1_checkpoint")
    stage2 = current(own, "stage2_checkpoint")
    stage2.summary["parents"]["stage1_checkpoint"] = stage1.fingerprint
    (stage2.path / "summary.json").write_text(json.dumps(stage2.summary))
    assert module._why_not("stage1_checkpoint", stage1, index, own) == ""
    other = write_checkpoint(own, "stage1_checkpoint", seed=9)
    assert "trained anew" in module._why_not("stage1_checkpoint", other, index, own)
    assert "trained anew" in module._why_not("control_checkpoint", current(own, "control_checkpoint"), index, own)


def test_too_many_pictures_are_not_encoded_while_somebody_waits(own: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EMBEDDED_ON_DEMAND", 35)
    with pytest.raises(NoSuchModel, match="36 pictures are too many"):
        models_of(own).open("stage1")
    monkeypatch.setattr(module, "EMBEDDED_ON_DEMAND", 36)
    models_of(own).open("stage1")
    monkeypatch.setattr(module, "EMBEDDED_ON_DEMAND", 0)
    models_of(own).open("stage1")  # its vectors are in the store by now


def test_why_a_checkpoint_cannot_be_opened_stays_in_the_log(own: Store, caplog: pytest.LogCaptureFixture) -> None:
    weights = current(own, "stage1_checkpoint").path / "model.safetensors"
    weights.write_bytes(bytes(len(weights.read_bytes())))
    with pytest.raises(NoSuchModel) as refused:
        models_of(own).open("stage1")
    assert str(own.root) not in str(refused.value) and str(own.root) in caplog.text


def test_the_sum_adds_what_image_and_text_alone_ask(searcher: Searcher, pictures: Path) -> None:
    picture = ImageFiles(pictures).open("toys/04.png")
    image, text = searcher.query(picture, None), searcher.query(None, "a red circle")
    right = (image + text) / np.linalg.norm(image + text)
    assert np.allclose(searcher.query(picture, "a red circle", "sum"), right, atol=1e-6)
    assert not np.allclose(searcher.query(picture, "a red circle"), right, atol=1e-3)
    assert np.array_equal(searcher.query(picture, None, "sum"), image)
