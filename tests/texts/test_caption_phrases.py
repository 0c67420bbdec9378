import pytest

from spn4cir_core.texts.caption_phrases import CaptionPhrases
from spn4cir_core.texts.word_kinds import WordKinds

CAPTION = "small red circle around it, large pink star with arrow pointing left".replace(",", " ,").split()


@pytest.mark.parametrize(
    ("phrase", "span"),
    [
        ("red circle", "red circle"),
        ("large star", "large pink star"),
        ("huge star", "star"),
        ("pointing left", "pointing left"),
        ("circle star", None),
    ],
)
def test_a_phrase_is_found_with_words_between_its_own(phrase: str, span: str | None) -> None:
    positions = CaptionPhrases(CAPTION, WordKinds()).find(tuple(phrase.split()))
    assert (positions and " ".join(CAPTION[slice(*positions)])) == span


def test_a_noun_phrase_is_about_the_word_before_what_is_attached() -> None:
    phrases = CaptionPhrases(CAPTION, WordKinds())
    circle = phrases.segment(CAPTION.index("circle"))
    assert CAPTION[slice(*circle)] == ["small", "red", "circle", "around", "it"]
    assert CAPTION[phrases.head(*circle)] == "circle"
    arrow = phrases.segment(CAPTION.index("arrow"))
    assert CAPTION[slice(*arrow)] == ["with", "arrow", "pointing", "left"]
    assert CAPTION[phrases.head(*arrow)] == "arrow"


def test_a_ring_points_nowhere() -> None:
    words = ["a", "hand", "with", "gold", "ring"]
    phrases = CaptionPhrases(words, WordKinds())
    assert words[phrases.head(*phrases.segment(4))] == "ring"
