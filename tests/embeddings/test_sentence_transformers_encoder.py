"""Embedding models of sentence-transformers against the models' own forward passes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.embeddings import sentence_transformers_encoder as encoders
from spn4cir_core.embeddings.sentence_transformers_encoder import SentenceTransformersEncoder
from spn4cir_core.errors import InputError

pytest.importorskip("sentence_transformers")
TEXTS = ["a red dress", "a large blue shirt", "dog"]


def test_two_towers_give_the_features_of_their_own(two_towers: dict[str, Any], pictures: list[Image.Image]) -> None:
    import torch
    from transformers import CLIPModel, CLIPProcessor

    encoder, plain = SentenceTransformersEncoder(**two_towers), Path(two_towers["model"]).parent / "plain"
    model, processor = CLIPModel.from_pretrained(plain).eval(), CLIPProcessor.from_pretrained(plain)
    with torch.inference_mode():
        pixels = processor(images=pictures[:3], return_tensors="pt")
        images = model.get_image_features(**pixels).pooler_output.numpy()
        texts = [model.get_text_features(**processor(text=text, return_tensors="pt")).pooler_output for text in TEXTS]
    np.testing.assert_allclose(encoder.start()(pictures[:3]), images, atol=1e-5)
    np.testing.assert_allclose(encoder.start_texts()(TEXTS), torch.cat(texts).numpy(), atol=1e-5)


def test_picture_and_text_go_in_together(composing: dict[str, Any], pictures: list[Image.Image]) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformersEncoder(**composing, query_prompt="question :")
    queries = list(zip(pictures[:3], TEXTS, strict=True))
    composed = encoder.start_composed()(queries)
    model = SentenceTransformer(composing["model"], device="cpu")
    for row, (picture, text) in enumerate(queries):
        one = model.encode([{"image": picture, "text": text}], prompt="question :", show_progress_bar=False)
        np.testing.assert_allclose(composed[row], one[0], atol=1e-4)
    other_text, other_picture = (
        encoder.start_composed()([query]) for query in ((pictures[0], "cat"), (pictures[1], TEXTS[0]))
    )
    assert not np.allclose(composed[0], other_text[0]) and not np.allclose(composed[0], other_picture[0])
    assert encoder.start()(pictures[:1]).shape == composed[:1].shape


def test_settings_of_pictures_are_in_the_fingerprint_and_those_of_queries_are_not(composing: dict[str, Any]) -> None:
    marks = [
        SentenceTransformersEncoder(**{**composing, **changed}).fingerprint()
        for changed in ({}, {"prompt": "a photo"}, {"dimensions": 8}, {"query_prompt": "question"}, {"together": False})
    ]
    assert len(set(marks[:3])) == 3 and set(marks[3:]) == {marks[0]}


def test_the_layers_in_sub_folders_are_in_the_fingerprint(composing: dict[str, Any], tmp_path: Path) -> None:
    folder = shutil.copytree(composing["model"], tmp_path / "other")
    assert (
        SentenceTransformersEncoder(model=str(folder)).fingerprint()
        == SentenceTransformersEncoder(model=composing["model"]).fingerprint()
    )
    pooling = folder / "1_Pooling" / "config.json"
    pooling.write_text(json.dumps({**json.loads(pooling.read_text()), "pooling_mode": "mean"}))
    assert (
        SentenceTransformersEncoder(model=str(folder)).fingerprint()
        != SentenceTransformersEncoder(model=composing["model"]).fingerprint()
    )


def test_a_prompt_changes_vectors_and_dimensions_cut(composing: dict[str, Any], pictures: list[Image.Image]) -> None:
    whole, prompted, cut = (
        SentenceTransformersEncoder(**composing, **more).start()(pictures[:2])
        for more in ({}, {"prompt": "a photo of"}, {"dimensions": 8})
    )
    assert not np.allclose(whole, prompted)
    np.testing.assert_array_equal(cut, whole[:, :8])


def test_two_towers_cannot_take_both_in_one(two_towers: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"not both in one; leave out together = true"):
        SentenceTransformersEncoder(**{**two_towers, "together": True}).start_composed()


def test_a_picture_that_the_processor_refuses_has_no_vector_and_the_others_do(
    composing: dict[str, Any], pictures: list[Image.Image]
) -> None:
    encoder, elongated = SentenceTransformersEncoder(**composing), Image.new("RGB", (10, 3000), "red")
    vectors = encoder.start()([pictures[0], elongated, pictures[1]])
    np.testing.assert_array_equal(vectors[[0, 2]], encoder.start()(pictures[:2]))
    assert np.isnan(vectors[1]).all()
    assert np.isnan(encoder.start_composed()([(elongated, "red")])).all()


def test_texts_beyond_the_limit_lose_their_end(two_towers: dict[str, Any]) -> None:
    encode = SentenceTransformersEncoder(**two_towers).start_texts()
    long, longer = encode([" ".join(["red dress"] * count) for count in (100, 200)])
    np.testing.assert_array_equal(long, longer)
    assert np.isfinite(long).all()


def test_a_model_of_texts_alone_is_refused_for_pictures(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizer

    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=6, **shape)).save_pretrained(tmp_path / "plain")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red"]
    BertTokenizer(vocab={word: row for row, word in enumerate(words)}).save_pretrained(tmp_path / "plain")
    SentenceTransformer(str(tmp_path / "plain"), device="cpu").save(str(tmp_path / "bert"), create_model_card=False)
    with pytest.raises(InputError, match="reads text, and no image; take a multimodal embedding model"):
        SentenceTransformersEncoder(model=str(tmp_path / "bert")).start()


def test_a_damaged_folder_is_one_sentence(two_towers: dict[str, Any], tmp_path: Path) -> None:
    folder = shutil.copytree(two_towers["model"], tmp_path / "damaged")
    (folder / "config.json").write_text('{"model_type": "no such model"}')
    with pytest.raises(InputError, match="image encoder: cannot load") as caught:
        SentenceTransformersEncoder(model=str(folder)).start()
    assert "\n" not in str(caught.value)
    assert set(SentenceTransformersEncoder.model_fields) >= encoders.QUERY_SETTINGS


def test_a_model_with_code_of_its_own_is_refused(two_towers: dict[str, Any], tmp_path: Path) -> None:
    own_code = shutil.copytree(two_towers["model"], tmp_path / "own_code")
    auto_map = {"AutoConfig": "own.Config", "AutoModel": "own.Model", "AutoProcessor": "own.Processor"}
    (own_code / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": auto_map}))
    (own_code / "own.py").write_text("raise SystemExit('this must never run')")
    with pytest.raises(InputError, match="needs code from its own repository, which is never run here"):
        SentenceTransformersEncoder(model=str(own_code)).start()
