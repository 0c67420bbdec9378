from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.errors import InputError
from spn4cir_core.models import local_model
from spn4cir_core.models.local_model import Answers
from spn4cir_core.texts.llm import Llm
from spn4cir_core.texts.local_rewriter import LocalRewriter
from spn4cir_core.texts.vlm import Vlm
from tests.captions.small_models import SAVE
from tests.texts.conftest import Pairs, save_llm


@pytest.fixture(scope="module")
def llava_next(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiles of different numbers for each picture, and no chat template."""
    folder = tmp_path_factory.mktemp("llava_next")
    SAVE["llava-next"](folder)
    return folder


def test_a_chat_template_brings_the_special_tokens(small_llm: Path) -> None:
    llm = Llm(model=str(small_llm))
    tokenizer = Answers(llm).processor
    text = llm.text(tokenizer, "a red dress")
    ids = llm.inputs(tokenizer, [text, llm.text(tokenizer, "a")], [(), ()])["input_ids"].tolist()
    assert tokenizer.convert_ids_to_tokens(ids[0]) == ["<s>", "a", "red", "dress", "answer", ":"]
    assert tokenizer.convert_ids_to_tokens(ids[1]) == ["<pad>", "<pad>", "<s>", "a", "answer", ":"]


def test_without_a_template_the_tokenizer_adds_them_and_a_missing_pad_token_is_made(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    save_llm(tmp_path)
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.chat_template, tokenizer.pad_token = None, None
    (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(tmp_path)
    llm = Llm(model=str(tmp_path), max_new_tokens=3)
    answers = Answers(llm)
    ids = llm.inputs(answers.processor, [llm.text(answers.processor, "red dress"), "a"], [])["input_ids"].tolist()
    assert answers.processor.convert_ids_to_tokens(ids[0]) == ["<s>", "red", "dress"]
    assert answers.processor.convert_ids_to_tokens(ids[1]) == ["</s>", "<s>", "a"]
    assert answers(["red dress", "a"], [[], []]) == [*answers(["red dress"], [[]]), *answers(["a"], [[]])]


def test_what_the_model_says_is_handed_on_with_its_lines(pairs: Pairs) -> None:
    vlm = Vlm(model="builtin:shapes", max_new_tokens=20)
    assert vlm.answer(" Here it is:\n make it red \n") == "Here it is:\n make it red"


def test_both_pictures_count_and_their_order(pairs: Pairs) -> None:
    rewrite = Vlm(model="builtin:shapes", max_new_tokens=20).start()
    pair, (reference, target) = pairs.to_rewrite()[0], pairs.pictures(True)[0]
    third = pairs.pictures(True)[3][0]
    answers = [rewrite([pair], [both])[0] for both in ((reference, target), (target, reference), (reference, third))]
    assert len(set(answers)) == 3


def test_a_llava_next_without_a_chat_template_sees_two_pictures(
    pairs: Pairs, llava_next: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_model, "end_tokens", lambda processor, model: frozenset())  # an untrained model has none
    rewrite = Vlm(model=str(llava_next), max_new_tokens=5).start()
    questions = pairs.to_rewrite()[:3]
    shown = [
        (one.resize((96, 40)), two.resize((40, 70 + 20 * number)))
        for number, (one, two) in enumerate(pairs.pictures(True)[:3])
    ]
    together = list(rewrite(questions, shown))
    alone = [rewrite([pair], [both])[0] for pair, both in zip(questions, shown, strict=True)]
    assert all(together) and alone == together


@pytest.mark.parametrize(
    ("rewriter", "model", "message"),
    [(Llm, "llava-next", "rewriter kind 'vlm'"), (Vlm, "blip", "takes one picture"), (Llm, "blip", "sees pictures")],
)
def test_a_model_of_the_wrong_sort_is_named(
    rewriter: type[LocalRewriter], model: str, message: str, tmp_path: Path
) -> None:
    SAVE[model](tmp_path)
    with pytest.raises(InputError, match=message):
        rewriter(model=str(tmp_path)).start()


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        Llm(model=str(tmp_path / "nowhere")).texts_fingerprint()
    with pytest.raises(InputError, match=r"no config\.json"):
        Vlm(model=str(tmp_path)).texts_fingerprint()


def test_other_weights_are_another_model(small_llm: Path, tmp_path: Path) -> None:
    save_llm(tmp_path)
    one, same, other = (Llm(model=str(folder)) for folder in (small_llm, small_llm, tmp_path))
    assert one.fingerprint() == same.fingerprint()
    (tmp_path / "config.json").write_text((tmp_path / "config.json").read_text() + " ", encoding="utf-8")
    assert other.fingerprint() != one.fingerprint()
    assert Llm(model="owner/name").fingerprint() != Llm(model="owner/name", revision="abc").fingerprint()
