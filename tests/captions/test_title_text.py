from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spn4cir_core.captions.title_text import clean_title, is_file_name
from spn4cir_core.captions.words import words_of

TITLES = {
    "red account with check mark, outline": "red account with check mark, outline",
    "<p><strong>Black&nbsp;bag</strong></p>": "Black bag",
    "<p>Black bag</p><p>Leather &amp; brass</p>": "Black bag, Leather & brass",
    "<ul><li>Mug</li><li>blue</li></ul>": "Mug, blue",
    "&lt;b&gt;Black&amp;nbsp;bag&lt;/b&gt;": "Black bag",
    "<style>p {color: red}</style>Chair": "Chair",
    "a < b mug": "a < b mug",
    "Mug 0.5 l": "Mug 0.5l",
    "Mug 0,5 l": "Mug 0.5l",
    "Poster 20 x 30 cm": "Poster 20x30cm",
    'Monitor 27"': "Monitor 27-inch",
    "5 in 1 tool": "5 in 1 tool",
    "Milk 3,5 l, fresh": "Milk 3.5l, fresh",
    "Box of 2, red": "Box of 2, red",
    "Size: M, Colour: Red": "size M, Red",
    "Size: M | Colour: Red": "size M, Red",
    "Shirt; Size: L; Fit: slim": "Shirt, size L, fit slim",
    "Shirt; Size: n/a": "Shirt",
    "Handbag SKU: AB-1234 red": "Handbag red",
    "Handbag (Art. Nr. 99-123) red": "Handbag red",
    "Handbag AB-12345-BLK": "Handbag",
    "Oat milk 7394376616501": "Oat milk",
    "Item #4711": "",
    "Bottle 1000ML": "Bottle 1000ML",
    "Nike™ Air – white": "Nike Air, white",
    "Ratio 3:4": "Ratio 3:4",
    "Farbe: Rot; Größe: M": "Rot, größe M",
    "NB574 shoe": "NB574 shoe",
    "Nan bread": "Nan bread",
    "nan": "",
    "N/A": "",
    "Untitled": "",
    "item with model look": "item with model look",
    "A red hat.": "A red hat",
    "赤い靴、革": "赤い靴、革",
    "حذاء أحمر": "حذاء أحمر",
    "größer,\nblau": "größer, blau",
    "Arla-Natural-Yoghurt": "Arla Natural Yoghurt",
    "long_sleeve": "long sleeve",
    "t-shirt": "t-shirt",
    "27-28": "27-28",
    "low-fat milk": "low-fat milk",
}


@pytest.mark.parametrize(("title", "phrases"), TITLES.items())
def test_titles_are_cleaned(title: str, phrases: str) -> None:
    assert clean_title(title) == phrases


@pytest.mark.parametrize("title", TITLES)
def test_cleaning_again_changes_nothing(title: str) -> None:
    assert clean_title(clean_title(title)) == clean_title(title)


@given(st.text(max_size=200))
def test_any_text_gives_one_line_without_tags(text: str) -> None:
    cleaned = clean_title(text, 20)
    assert cleaned == " ".join(cleaned.split()) and "<p>" not in cleaned and len(cleaned.split()) <= 20


def test_a_long_description_ends_with_a_phrase() -> None:
    assert clean_title("A red bag of leather. It was made by hand in a small town", 8) == "A red bag of leather"
    assert clean_title("one two three four", 2) == "one two"


def test_numbers_with_units_are_one_word() -> None:
    assert words_of(clean_title("Mug 0.5 l")) == ("mug", "0.5l")
    assert words_of(clean_title("Poster 20 x 30.5 cm")) == ("poster", "20x30.5cm")


@pytest.mark.parametrize("title", ["a-b.jpg", "a-b", "x/a-b.jpg", "IMG_2031", "DSC 0001.JPG", "12345", "photo-12"])
def test_file_names_are_no_titles(title: str) -> None:
    assert is_file_name(title, "x/a-b.jpg")
    assert not is_file_name("a b", "x/a-b.jpg")
