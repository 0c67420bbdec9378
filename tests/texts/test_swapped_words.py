from __future__ import annotations

from spn4cir_core.texts.swapped_words import VARIANTS, requested_words, swapped_texts

TEXTS = ["make it red", "is blue instead of green", "has two buttons", "has three buttons", "remove the grey logo"]


def test_what_is_asked_for_is_swapped_for_what_other_texts_ask_for() -> None:
    swapped = swapped_texts(TEXTS, 0)
    assert swapped["make it red"] == ("make it blue",)
    assert swapped["is blue instead of green"] == ("is red instead of green",)
    assert swapped["has two buttons"] == ("has three buttons",)
    assert "remove the grey logo" not in swapped


def test_words_that_may_be_said_of_one_picture_are_not_swapped() -> None:
    assert swapped_texts(["a big dog", "a large dog", "make it maroon", "make it crimson"], 0) == {}


def test_kinds_are_learnt_from_the_texts() -> None:
    texts = [f"a {colour} {thing}" for colour in ("red", "blue", "old") for thing in ("sweatshirt", "kettle")]
    assert "a red kettle" in swapped_texts(texts, 0)["a red sweatshirt"]


def test_at_most_four_the_same_for_a_seed_whatever_the_other_texts() -> None:
    colours = ["red", "blue", "green", "black", "orange", "pink", "purple"]
    texts = [f"make it {colour}" for colour in colours]
    swapped = swapped_texts(texts, 3)
    assert all(len(set(variants)) == VARIANTS for variants in swapped.values())
    assert swapped == swapped_texts(texts, 3) != swapped_texts(texts, 4)
    assert all(variant in texts for variants in swapped.values() for variant in variants)


def test_a_word_with_a_shade_keeps_it_and_case_does_not_matter() -> None:
    swapped = swapped_texts(["Make it dark Blue", "make it red", "make it dark red"], 0)
    assert swapped["Make it dark Blue"] == ("Make it dark red",)
    assert requested_words("replace the outlined heart with a filled one") == ["filled"]
