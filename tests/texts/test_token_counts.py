from pathlib import Path

import pytest

from spn4cir_core.errors import RecipeError
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
