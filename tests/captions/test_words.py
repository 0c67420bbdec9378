from __future__ import annotations

import pytest

from spn4cir_core.captions.words import phrases_of, words_of


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("", ()),
        ("...", ()),
        ("A red T-shirt, the blue one", ("red", "t-shirt", "blue", "one")),
        ("Une robe d'été", ("une", "robe", "d'été")),
        ("赤い靴", ("赤い", "い靴")),
        ("靴", ("靴",)),
        ("حذاء أحمر", ("حذاء", "أحمر")),
        ("mug 0 5", ("mug", "0", "5")),
    ],
)
def test_words_of_captions_in_any_script(caption: str, words: tuple[str, ...]) -> None:
    assert words_of(caption) == words


@pytest.mark.parametrize(
    ("caption", "phrases"),
    [
        ("", ()),
        ("a large blue star, the red circle", (("blue", "large", "star"), ("circle", "red"))),
        ("The red circle and blue large star.", (("blue", "large", "star"), ("circle", "red"))),
        ("0.5 l mug", (("0.5", "l", "mug"),)),
        (", and ,", ()),
        ("靴、赤", (("赤",), ("靴",))),
    ],
)
def test_phrases_are_the_same_in_any_order(caption: str, phrases: tuple[tuple[str, ...], ...]) -> None:
    assert phrases_of(caption) == phrases
