import pytest
from hypothesis import given
from hypothesis import strategies as st

from spn4cir_core.texts.request_wordings import simpler_words


@pytest.mark.parametrize(
    ("text", "simpler"),
    [
        ("Isn’t red but blue", "not red but blue"),
        ("w/ ribbon, w/o feather", "with ribbon, without feather"),
        ("anything but red", "without red"),
        ("in another colour than red", "without red"),
        ("- feather, + ribbon", "without feather, plus ribbon"),
        ("the same, except that it is red", "the same, but it is red"),
        ("except for the colour, which should be red", "but red"),
        ("red, everything else the same", "red,"),
        ("a little darker, please", "darker,"),
        ("there's a lock & no arrow", "has a lock and no arrow"),
        ("pink-coloured", "pink"),
        ("t-shirt, x-ray, black-and-white", "t-shirt, x-ray, black-and-white"),
        ("keep the style but in red", "keep the style but in red"),
        ("has a pattern but no stripes", "has a pattern but no stripes"),
        ("a little flower", "a little flower"),
    ],
)
def test_people_s_words_become_those_that_rules_know(text: str, simpler: str) -> None:
    assert " ".join(simpler_words(text).split()) == simpler


@given(st.text())
def test_any_text_has_simpler_words(text: str) -> None:
    assert len(simpler_words(text)) <= 3 * len(text) + 8
