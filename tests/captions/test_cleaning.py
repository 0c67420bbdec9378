from __future__ import annotations

from random import Random

import pytest

from spn4cir_core.captions.cleaning import clean_caption, clean_captions
from spn4cir_core.captions.tags import phrase

ANSWERS = {
    "<think>The user wants a caption. It is a shoe.</think> A green shoe": "A green shoe",
    "It is a shoe, so I say that.\n</think>\n\nA green shoe.": "A green shoe",
    "<think>I was cut before I said any": "",
    "Sure! Here is a brief description: A green shoe": "A green shoe",
    "Sure! Here is a brief description:\n\n**A green shoe**": "A green shoe",
    'Here\'s a caption for the image: "A green shoe."': "A green shoe",
    "Caption: A green shoe": "A green shoe",
    "**A green shoe** with `white` laces": "A green shoe with white laces",
    "- A green shoe": "A green shoe",
    "\u201cA green shoe\u201d": "A green shoe",
    "The image features a red handbag": "a red handbag",
    "The image prominently features a red handbag.": "a red handbag",
    "This picture shows two cats": "two cats",
    "In the image, there is a red handbag": "a red handbag",
    "This is a photo of a red handbag": "a red handbag",
    "A photo of a red handbag": "a red handbag",
    "A black and white photo of a man": "A black and white photo of a man",
    "There is a red handbag on a table": "a red handbag on a table",
    "a woman's dress, size: M": "a woman's dress, size: M",
    "a snake_case label": "a snake_case label",
    "A camera that shows a picture of a dog": "A camera that shows a picture of a dog",
    "A 3.5 mm plug": "A 3.5 mm plug",
    "": "",
}


@pytest.mark.parametrize(("answer", "caption"), ANSWERS.items())
def test_what_is_not_about_the_picture_goes(answer: str, caption: str) -> None:
    assert clean_caption(answer) == caption


def test_a_clean_caption_stays() -> None:
    for colour in ("red", "olive", "light blue"):
        for label in ("", "dress", "sunglasses", "T-shirt", "Mug 0.5 l"):
            assert clean_caption(phrase(colour, label)) == phrase(colour, label)


def test_an_opening_of_many_captions_goes_whatever_its_words() -> None:
    rng = Random(0)
    things = [f"{rng.choice('abcdefgh') * 3} {rng.choice('pqrstuv') * 4}" for _ in range(80)]
    captions = {str(number): f"Visible here is a {thing}" for number, thing in enumerate(things[:60])}
    captions |= {str(60 + number): f"A {thing}" for number, thing in enumerate(things[60:])}
    cleaned = clean_captions(captions)
    assert [cleaned[str(number)] for number in range(60)] == [f"a {thing}" for thing in things[:60]]
    assert [cleaned[str(number)] for number in range(60, 80)] == [f"A {thing}" for thing in things[60:]]


def test_what_many_pictures_show_is_not_an_opening() -> None:
    captions = {str(number): f"a woman wearing a {'red' if number % 2 else 'blue'} dress" for number in range(60)}
    captions |= {f"small {number}": f"a small green circle and a large blue square {number}" for number in range(60)}
    assert clean_captions(captions) == captions
    few = {str(number): f"Visible here is a thing {number}" for number in range(5)}
    assert clean_captions(few) == few
