from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spn4cir_core.texts.differences import bag_of_words, caption_meaning, difference, head, split_phrases

WORDS = st.sampled_from(
    [
        "small",
        "large",
        "red",
        "blue",
        "circle",
        "star",
        "on",
        "left",
        "with",
        "in",
        "a",
        "the",
        "dog",
        "black",
        "3",
        "and",
    ]
)
PHRASES = st.lists(WORDS, max_size=5).map(" ".join)
CAPTIONS = st.lists(PHRASES, max_size=5).map(", ".join) | st.text(max_size=40)


@pytest.mark.parametrize(
    ("reference", "target", "added", "removed"),
    [
        ("small red circle, large blue star", "small blue circle, large blue star", "blue circle", "red circle"),
        ("red circle", "red circle, blue star", "blue star", ""),
        ("red circle, blue star", "red circle", "", "blue star"),
        ("red circle, red circle", "red circle", "", "red circle"),
        ("red circle, blue star", "blue circle, red star", "blue circle and red star", "red circle and blue star"),
        ("red circle, green star", "red square, green star", "square", "circle"),
        (
            "red circle, small star",
            "red square, green cross",
            "red square and green cross",
            "red circle and small star",
        ),
        ("a maroon sweatshirt", "a pink jersey", "pink jersey", "maroon sweatshirt"),
        ("a black gown", "something black", "something black", "black gown"),
        ("something black", "a black gown", "black gown", "something black"),
        ("something black", "something red", "red", "black"),
        ("A red dress.", "a blue dress", "blue dress", "red dress"),
        ("red circle at the top left", "red circle at the top right", "circle at top right", "circle at top left"),
        ("a circle on a square", "a square on a circle", "square on circle", "circle on square"),
        (
            "a woman in a red dress on a beach",
            "a man in a blue suit on a beach",
            "man in blue suit",
            "woman in red dress",
        ),
    ],
)
def test_the_difference_is_what_a_person_would_say(reference: str, target: str, added: str, removed: str) -> None:
    change = difference(reference, target)
    assert (change.added_text, change.removed_text) == (added, removed)


def test_a_phrase_is_not_narrowed_when_the_rest_would_fit_another_object() -> None:
    """ "red circle" alone could mean the red circle that stays."""
    change = difference("small red circle, large red circle", "small blue circle, large red circle")
    assert change.removed_text == "small red circle"
    assert change.added_text == "small blue circle"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("red circle, blue star", "blue star, red circle"),
        ("A photo of a cat.", "the cat"),
        ("red circle and blue star", "a red circle; a blue star"),
        ("small red circle", "red small circle"),
        ("", "!"),
    ],
)
def test_captions_that_say_the_same_differ_in_nothing(one: str, other: str) -> None:
    assert difference(one, other) == difference(other, one)
    assert difference(one, other).added == difference(one, other).removed == ()
    assert caption_meaning(one) == caption_meaning(other)


@given(CAPTIONS, CAPTIONS)
@example("red circle, blue star", "blue circle, red star")
@example("on on on", "on on, on")
def test_removing_and_adding_turns_the_reference_into_the_target(reference: str, target: str) -> None:
    change = difference(reference, target)
    removed = Counter(word for phrase in change.removed for word in phrase)
    added = Counter(word for phrase in change.added for word in phrase)
    assert removed <= bag_of_words(reference)
    assert added <= bag_of_words(target)
    assert bag_of_words(reference) - removed + added == bag_of_words(target)
    assert (not added and not removed) == (caption_meaning(reference) == caption_meaning(target))


@given(CAPTIONS)
def test_a_caption_does_not_differ_from_itself(caption: str) -> None:
    assert difference(caption, caption).added == difference(caption, caption).removed == ()


@given(CAPTIONS, CAPTIONS)
def test_the_reverse_difference_has_the_words_swapped(one: str, other: str) -> None:
    there, back = difference(one, other), difference(other, one)
    net_there = Counter(w for p in there.added for w in p)
    net_there.subtract(w for p in there.removed for w in p)
    net_back = Counter(w for p in back.removed for w in p)
    net_back.subtract(w for p in back.added for w in p)
    assert {w: n for w, n in net_there.items() if n} == {w: n for w, n in net_back.items() if n}


def test_phrases_and_their_heads() -> None:
    assert split_phrases("A small red circle on the left, and a dog.") == (
        ("small", "red", "circle", "on", "left"),
        ("dog",),
    )
    assert [head(phrase) for phrase in split_phrases("a red circle on the left, dog")] == ["circle", "dog"]
    assert split_phrases("一只猫，两只狗") == (("一只猫",), ("两只狗",))


def test_captions_of_thousands_of_phrases_are_compared_by_whole_phrases() -> None:
    one = ", ".join(f"red thing{number}" for number in range(3000))
    other = ", ".join(f"blue thing{number}" for number in range(3000))
    assert difference(one, other).added[0] == ("blue", "thing0")
    assert len(difference(one, other).removed) == 3000
