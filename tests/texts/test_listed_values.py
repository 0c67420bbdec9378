"""Titles of shops: a number and its unit are one word, and what a list says of the whole is edited by its key."""

from __future__ import annotations

import pytest

from spn4cir_core.texts.differences import difference, split_phrases
from spn4cir_core.texts.edit_wordings import edit_wordings
from spn4cir_core.texts.edits import edits, worded_edits


@pytest.mark.parametrize(
    ("caption", "phrases"),
    [
        ("Mug 0.5 l", [("mug", "0.5l")]),
        ("Mug 0.5l", [("mug", "0.5l")]),
        ("Becher 0,5 L", [("becher", "0.5l")]),
        ("Vase 20 x 30 cm", [("vase", "20x30cm")]),
        ("Vase 20.5×30 cm, blue", [("vase", "20.5x30cm"), ("blue",)]),
        ('TV 27"', [("tv", "27-inch")]),
        ("100 % cotton", [("100%", "cotton")]),
        ("1,000 piece puzzle", [("1,000", "piece", "puzzle")]),
        ("3 dogs, 2 cats", [("3", "dogs"), ("2", "cats")]),
        ("a 4-door car", [("4-door", "car")]),
        ("Size: M, Colour: Red", [("size", "m"), ("red",)]),
        ("Size: M; Colour: Red; Fit: slim", [("size", "m"), ("red",), ("fit", "slim")]),
        ("a photo: a red shoe", [("photo",), ("red", "shoe")]),
        ("model S2, version 1.5", [("model", "s2"), ("version", "1.5")]),
    ],
)
def test_phrases(caption: str, phrases: list[tuple[str, ...]]) -> None:
    assert list(split_phrases(caption)) == phrases


@pytest.mark.parametrize(
    ("reference", "target", "removed", "added"),
    [
        ("Mug 0.5 l", "Mug 0.75l", "0.5l", "0.75l"),
        ("red shirt, size M", "red shirt, size L", "size m", "size l"),
        ("Size: M, Colour: Red", "Size: L, Colour: Blue", "size m and red", "size l and blue"),
        ("Taille: 38, Matière: coton", "Taille: 40, Matière: coton", "taille 38", "taille 40"),
    ],
)
def test_what_differs_is_whole(reference: str, target: str, removed: str, added: str) -> None:
    differs = difference(reference, target)
    assert (differs.removed_text, differs.added_text) == (removed, added)


def test_a_list_is_edited_by_its_keys() -> None:
    reference, target = "Size: M, Colour: Red", "Size: L, Colour: Blue"
    wordings = edit_wordings(reference, target)
    assert wordings["edits_not"] == "in size l and blue"
    assert wordings["edits_make"] == "make it size l and blue"
    assert wordings["edits_rather"] == "size l and blue rather than size m and red"
    assert worded_edits(reference, target, edits(reference, target)) == "change size m to size l and change red to blue"
