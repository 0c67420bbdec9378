import pytest
from hypothesis import given
from hypothesis import strategies as st

from spn4cir_core.texts.answers import (
    EMPTY,
    NAMES_NOTHING,
    REFUSAL,
    REPEATS,
    TOO_LONG,
    AnswerCheck,
    changed_words,
    clean,
)

CHECK = AnswerCheck(lambda text: len(text.split()), 12, names_target=True)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (' "Make it red." \n', "Make it red"),
        ("Here is the modified text:\n\nmake it red\n\nLet me know!", "make it red"),
        ("Sure! Here's a short one: make it red", "make it red"),
        ("Modified text: **make it red**", "make it red"),
        ("Sentence: is black and has sleeves", "is black and has sleeves"),
        ("“I want it in red.”", "I want it in red"),
        ("make the dog's collar red", "make the dog's collar red"),
        ("<think>red, I guess\nor blue</think>\nmake it\tred", "make it red"),
        ("<think>never ending", ""),
        ("red, I guess\n</think>\nmake it red", "make it red"),
        ("<thinking>red?</thinking>make it red", "make it red"),
        ("- add a hat", "add a hat"),
        ("change the sign: it should say stop", "change the sign: it should say stop"),
        (" \n ", ""),
        ('"', ""),
        ("", ""),
    ],
)
def test_clean(answer: str, text: str) -> None:
    assert clean(answer) == text


@given(st.text(max_size=60))
def test_clean_gives_one_line_and_is_done_after_one_go(answer: str) -> None:
    text = clean(answer)
    assert text == " ".join(text.split())
    assert not text or text[0] not in "\"'"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", EMPTY),
        ("I'm sorry, but I cannot see any pictures", REFUSAL),
        ("I’m unable to help with that", REFUSAL),
        ("As an AI language model, I have no red", REFUSAL),
        ("Both pictures show a red circle", REFUSAL),
        ("There is no visible difference, blue", REFUSAL),
        ("No change", REFUSAL),
        ("blue blue blue blue", REPEATS),
        ("a blue star a blue star a blue star a blue star", REPEATS),
        ("make it blue and very nice and also much larger than it was in the first picture", TOO_LONG),
        ("make the circle bigger", NAMES_NOTHING),
        ("turn the circle blue", ""),
        ("bluer, please", ""),
        ("no red, make that blue", ""),
        ("can you make it blue", ""),
    ],
)
def test_problem(text: str, problem: str) -> None:
    assert CHECK.problem(text, "a red circle", "a blue circle") == problem


def test_a_model_that_sees_the_pictures_may_use_its_own_words() -> None:
    seeing = AnswerCheck(CHECK.count_tokens, CHECK.max_tokens, names_target=False)
    assert seeing.problem("make the circle bigger", "a red circle", "a blue circle") == ""
    assert seeing.problem("", "a", "b") == EMPTY


def test_a_text_has_to_name_what_is_new_or_else_what_goes_or_else_anything() -> None:
    assert changed_words("a red circle", "a blue circle on grass") == {"blu", "gras"}
    assert changed_words("a circle and a dog", "a circle") == {"dog"}
    assert changed_words("red circle, blue star", "blue circle, red star") == {"red", "circl", "blu", "star"}
    assert CHECK.problem("remove the dog", "a circle and a dog", "a circle") == ""
    assert CHECK.problem("longer sleeve", "dress", "dress, long sleeves") == ""
    assert CHECK.problem("light blue please", "red dress", "light blue dress") == ""
