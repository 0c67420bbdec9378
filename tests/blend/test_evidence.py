from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from spn4cir_core.blend.evidence import Sentences, TextSide, composed_queries
from spn4cir_core.embeddings.base import IMAGE_ENCODERS
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.texts.word_kinds import WordKinds
from tests.embeddings.small_models import write_open_clip


def embeddings(folder: Path, encoder: dict[str, object]) -> Artifact:
    return Artifact("image_embeddings", folder, {"settings": {"image_embeddings": {"encoder": encoder}}})


def test_texts_are_read_by_the_text_side_of_the_encoder_that_made_the_embeddings(tmp_path: Path) -> None:
    open_clip, torch = pytest.importorskip("open_clip"), pytest.importorskip("torch")
    model = write_open_clip(tmp_path, vocabulary=49408)
    side = TextSide.of_embeddings(embeddings(tmp_path, {"kind": "open_clip", **model}))
    assert side is not None
    vectors = side.vectors(["make it blue", "", "without a hat", "make it blue"])
    assert vectors is not None and np.isnan(vectors[1]).all()
    network, _ = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path}")
    tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path}")(["make it blue", "without a hat"])
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(network.eval().encode_text(tokens)).numpy()
    np.testing.assert_allclose(vectors[[0, 2, 3]], expected[[0, 1, 0]], atol=1e-5)
    assert side.vectors(["", ""]) is None


def test_an_encoder_without_a_text_side_reads_no_texts(tmp_path: Path) -> None:
    assert TextSide.of_embeddings(embeddings(tmp_path, {"kind": "vision_tower", "model": "builtin:shapes"})) is None
    assert TextSide.of_embeddings(Artifact("image_embeddings", tmp_path, {"settings": {}})) is None
    reading = [kind for kind in IMAGE_ENCODERS.members if IMAGE_ENCODERS.member(kind).reads_texts]
    assert reading == ["open_clip", "sentence_transformers"]


def test_only_edited_captions_that_are_needed_are_encoded() -> None:
    sent = list[str]()

    def encode(sentences: Sequence[str]) -> np.ndarray:
        sent.extend(sentences)
        return np.ones((len(sentences), 3), np.float32)

    kinds = WordKinds.learn(["a red hat"])
    texts, captions = ["make it blue", "make it green"], ["a red hat", "a red hat"]
    queries = composed_queries(texts, captions, {}, kinds, Sentences(encode), needs_sentence=[False, True])
    assert sent == [queries.edited[1].caption]
    assert np.isnan(queries.vectors["caption"][0]).all() and (queries.vectors["caption"][1] == 1).all()
    none = composed_queries(texts, captions, {}, kinds, Sentences(encode), needs_sentence=[False, False])
    assert "caption" not in none.vectors and len(sent) == 1


def test_a_server_remembers_the_sentences_that_came_last_and_no_more() -> None:
    sent = list[str]()

    def encode(sentences: Sequence[str]) -> np.ndarray:
        sent.extend(sentences)
        return np.array([[len(sentence)] for sentence in sentences], np.float32)

    sentences = Sentences(encode, most=2)
    assert sentences.vectors(["a", "bb", "ccc", None]).tolist()[:3] == [[1], [2], [3]]
    assert sentences.vectors(["ccc", "bb"]).tolist() == [[3], [2]] and sent == ["a", "bb", "ccc"]
    assert sentences.vectors(["a"]).tolist() == [[1]] and sent[3:] == ["a"]
    assert len(sentences.vector_of) == 2
