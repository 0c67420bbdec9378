import pytest
from hypothesis import given
from hypothesis import strategies as st

from spn4cir_core.texts.attributes import ATTRIBUTES, COLOURS
from spn4cir_core.texts.differences import bag_of_words, difference, split_phrases
from spn4cir_core.texts.templates import PLACEHOLDERS
from spn4cir_core.texts.wording import changed_attribute, worded

WORDS = st.sampled_from(
    ["a", "an", "the", "light", "blue", "red", "swimming", "trunks", "coat", "on", "and", "olive", "dress", "photo of"]
)
CAPTIONS = st.lists(WORDS, max_size=8).map(" ".join) | st.text(max_size=30)


@pytest.mark.parametrize(
    ("reference", "target", "added", "removed", "attribute"),
    [
        ("a black Loafer", "a maroon Loafer", "a maroon loafer", "the black loafer", "maroon"),
        (
            "a light blue swimming trunks",
            "a green swimming trunks",
            "green swimming trunks",
            "the light blue swimming trunks",
            "green",
        ),
        ("a blue jean", "a light blue jean", "a light blue jean", "the blue jean", "light blue"),
        ("a grey lab coat", "a grey trench coat", "a trench coat", "the lab coat", ""),
        ("a black running shoe", "a black clog", "a clog", "the running shoe", ""),
        ("something black", "a grey jersey", "a grey jersey", "something black", ""),
        ("a jersey", "a striped jersey", "a striped jersey", "the jersey", "striped"),
        ("a striped jersey", "a jersey", "a jersey", "the striped jersey", ""),
        ("a photo of a dress", "an orange dress", "an orange dress", "the dress", "orange"),
        ("red circle, blue star", "red circle, green star", "green star", "blue star", ""),
        ("the cat", "the cat and an olive jar", "an olive jar", "", ""),
        ("the cat and a uniform", "the cat and a blue uniform", "a blue uniform", "the uniform", ""),
        ("a cat", "a cat, a uniform, an umbrella", "a uniform and an umbrella", "", ""),
        ("a woman in a red dress", "a woman in a blue dress", "a woman in blue dress", "the woman in red dress", ""),
    ],
)
def test_a_difference_is_worded_as_a_person_would(
    reference: str, target: str, added: str, removed: str, attribute: str
) -> None:
    values = worded(reference, target, difference(reference, target))
    assert (values["reference"], values["target"]) == (reference, target)
    assert (values["added"], values["removed"], values["attribute"]) == (added, removed, attribute)


def test_every_change_is_worded_in_turn_and_what_stays_is_named() -> None:
    reference, target = "the circle, a cross", "a red circle, a cross, an olive star"
    values = worded(reference, target, difference(reference, target))
    assert values["changes"] == "make the circle red and add an olive star"
    assert values["kept"] == "the cross"
    assert set(values) == set(PLACEHOLDERS)


@given(CAPTIONS, CAPTIONS)
def test_wording_adds_nothing_but_articles(reference: str, target: str) -> None:
    change = difference(reference, target)
    values = worded(reference, target, change)
    assert bag_of_words(values["added"]) == bag_of_words(change.added_text)
    assert bag_of_words(values["removed"]) == bag_of_words(change.removed_text)
    assert bool(values["added"]) == bool(change.added) and bool(values["removed"]) == bool(change.removed)


@given(st.sampled_from(COLOURS), st.sampled_from(sorted(ATTRIBUTES)), st.sampled_from(["coat", "trench coat"]))
def test_an_attribute_turns_the_reference_into_the_target(old: str, new: str, thing: str) -> None:
    reference, target = f"a {old} {thing}", f"a {new} {thing}"
    expected = new if split_phrases(reference) != split_phrases(target) else ""
    assert changed_attribute(reference, target) == expected
