"""A multimodal cross-encoder of sentence-transformers: a small Qwen3-VL whose score is its logit of yes minus no."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.reranking.base import Shortlist, new_order
from spn4cir_core.reranking.cross_encoder import MultimodalCrossEncoder
from tests.captions import small_models

pytest.importorskip("sentence_transformers")
PICTURES = tuple(Image.new("RGB", (40, 30), colour) for colour in ("red", "blue", "green"))
TEXT = "a red dress"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore

    folder = tmp_path_factory.mktemp("cross_encoder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_models, "VOCABULARY", f"{small_models.VOCABULARY} yes no")
        small_models.save_qwen3_vl(folder / "plain")
    network = Transformer(str(folder / "plain"), transformer_task="any-to-any")
    yes, no = network.tokenizer.convert_tokens_to_ids(["yes", "no"])
    CrossEncoder(modules=[network, LogitScore(true_token_id=yes, false_token_id=no)], device="cpu").save(
        str(folder / "model")
    )
    return folder / "model"


def test_scores_are_the_models_own_logits(folder: Path) -> None:
    from sentence_transformers import CrossEncoder

    reranker, files = MultimodalCrossEncoder(model=str(folder), device="cpu"), ImageFiles(folder)
    scores = reranker.start(files)(Shortlist(PICTURES[:1], TEXT, PICTURES))
    model, query = CrossEncoder(str(folder), device="cpu"), {"image": PICTURES[0], "text": TEXT}
    own = [float(model.predict([(query, {"image": candidate})])[0]) for candidate in PICTURES]  # after a sigmoid
    np.testing.assert_allclose(1 / (1 + np.exp(-np.array(scores, float))), own, atol=1e-5)
    assert len(set(scores)) == 3 and new_order(scores) == np.argsort(-np.array(own), kind="stable").tolist()
    other = reranker.start(files)(Shortlist(PICTURES[:1], "a blue shirt", PICTURES))
    both = reranker.start(files)(Shortlist(PICTURES[:2], TEXT, PICTURES))
    prompted = MultimodalCrossEncoder(model=str(folder), prompt="question :").start(files)
    assert (
        len({tuple(scores), tuple(other), tuple(both), tuple(prompted(Shortlist(PICTURES[:1], TEXT, PICTURES)))}) == 4
    )


def test_a_candidate_that_the_processor_refuses_has_no_score(folder: Path) -> None:
    score = MultimodalCrossEncoder(model=str(folder), device="cpu").start(ImageFiles(folder))
    elongated = Image.new("RGB", (1, 448), "red")
    scores = score(Shortlist(PICTURES[:1], TEXT, (elongated, *PICTURES[1:])))
    assert scores[0] is None and list(scores[1:]) == list(score(Shortlist(PICTURES[:1], TEXT, PICTURES[1:])))


def test_a_model_of_texts_alone_is_refused(tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertForSequenceClassification(BertConfig(vocab_size=6, num_labels=1, **shape)).save_pretrained(tmp_path / "plain")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red"]
    BertTokenizer(vocab={word: row for row, word in enumerate(words)}).save_pretrained(tmp_path / "plain")
    CrossEncoder(str(tmp_path / "plain"), device="cpu").save(str(tmp_path / "bert"))
    with pytest.raises(InputError, match="reads text, and not a picture and a text in one; take a multimodal reranker"):
        MultimodalCrossEncoder(model=str(tmp_path / "bert")).start(ImageFiles(tmp_path))


def test_a_damaged_folder_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    (damaged / "config.json").write_text('{"model_type": "no such model"}')
    with pytest.raises(InputError, match="reranker: cannot load") as caught:
        MultimodalCrossEncoder(model=str(damaged)).start(ImageFiles(tmp_path))
    assert "\n" not in str(caught.value)


def test_weights_and_layers_are_in_the_fingerprint(folder: Path, tmp_path: Path) -> None:
    files, copy = ImageFiles(tmp_path), shutil.copytree(folder, tmp_path / "copy")
    whole = MultimodalCrossEncoder(model=str(folder)).fingerprint(files)
    assert whole == MultimodalCrossEncoder(model=str(copy), top=7).fingerprint(files)
    layer = copy / "1_LogitScore" / "config.json"
    layer.write_text(json.dumps({**json.loads(layer.read_text()), "false_token_id": 0}))
    assert whole != MultimodalCrossEncoder(model=str(copy)).fingerprint(files)
    assert whole != MultimodalCrossEncoder(model=str(folder), prompt="x").fingerprint(files)


def test_a_model_with_code_of_its_own_is_refused(folder: Path, tmp_path: Path) -> None:
    own_code = shutil.copytree(folder, tmp_path / "own_code")
    auto_map = {"AutoConfig": "own.Config", "AutoModel": "own.Model", "AutoProcessor": "own.Processor"}
    (own_code / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": auto_map}))
    (own_code / "own.py").write_text("raise SystemExit('this must never run')")
    with pytest.raises(InputError, match="needs code from its own repository, which is never run here"):
        MultimodalCrossEncoder(model=str(own_code)).start(ImageFiles(tmp_path))
