from __future__ import annotations

import pytest

from spn4cir_core.texts.caption_editor import edit_caption
from spn4cir_core.texts.paraphrases import paraphrases


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("make it red", ["red", "in red"]),
        ("replace the cross with a pencil", ["a pencil instead of the cross", "a pencil rather than the cross"]),
        ("remove the belt", ["without belt", "no belt", "drop belt"]),
        ("make it pink and add a star", ["pink and with a star"]),
        ("blue instead of red", ["make it blue", "blue rather than red"]),
    ],
)
def test_what_the_rules_know_is_said_in_other_words(text: str, others: list[str]) -> None:
    made = paraphrases(text)
    assert set(others) <= set(made)
    assert text not in made and len(set(made)) == len(made)
    assert not any("also red" in other for other in made)


@pytest.mark.parametrize("text", ["", "more elegant", "a pink kettle", "change the dress to blue", "keep the belt"])
def test_what_could_change_its_meaning_is_left_alone(text: str) -> None:
    assert paraphrases(text, "a blue dress") == []


@pytest.mark.parametrize(
    ("caption", "text"),
    [
        ("a blue kettle with a cross", "make it red"),
        ("a blue kettle with a cross", "replace the cross with a pencil"),
        ("a blue kettle with a cross", "remove the cross"),
        ("a blue kettle", "make it red and add a star"),
    ],
)
def test_every_wording_asks_for_the_same_caption(caption: str, text: str) -> None:
    expected = set(edit_caption(caption, text).caption.split())
    for other in paraphrases(text, caption):
        assert set(edit_caption(caption, other).caption.split()) == expected, other
