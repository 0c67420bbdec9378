from __future__ import annotations

import pytest

from spn4cir_core.captions.words import words_of


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
