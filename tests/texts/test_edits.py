import pytest
from hypothesis import given
from hypothesis import strategies as st

from spn4cir_core.texts.differences import PREPOSITIONS, bag_of_words, caption_meaning, split_phrases
from spn4cir_core.texts.edits import DOING, edits, parts, shared_phrases, worded_edits

THINGS = st.lists(
    st.sampled_from(["red", "large", "striped", "circle", "square", "on a table", "with a dog", "star"]), max_size=4
).map(" ".join)
CAPTIONS = st.lists(THINGS, max_size=4).map(", ".join) | st.text(max_size=30)


@pytest.mark.parametrize(
    ("reference", "target", "sentence_start"),
    [
        ("a circle", "a red circle and a small blue star", "make the circle red and add a small blue star"),
        ("small red circle, blue star", "small green circle, blue star", "make red circle green"),
        ("small red circle, large red circle", "small blue circle, large red circle", "make small red circle blue"),
        ("a small red circle", "a large blue circle", "make the small red circle large and blue"),
        ("red circle, small star", "red square, green cross", "change circle to square, remove small star and add "),
        ("a woman in a red dress", "a woman in a blue dress", "make the red dress blue"),
        ("a jersey", "a striped jersey", "make the jersey striped"),
        ("a striped jersey", "a jersey", "change the striped jersey to a jersey"),
        ("a light blue jean", "a dark blue jean", "make the light blue jean dark blue"),
        ("a swimming trunks", "a green swimming trunks", "make the swimming trunks green"),
        ("a lab coat", "a trench coat", "change the lab coat to a trench coat"),
        ("something black", "a grey jersey", "change something black to a grey jersey"),
        ("the cat, a dog", "the cat", "remove the dog"),
        ("small square, small star", "large square, small star", "make small square large"),
        ("a cat, a dog and a cow", "", "remove the cat, remove the dog and remove the cow"),
        ("the cat", "a cat", ""),
        (
            "a long blue dress with short sleeves",
            "a short blue dress with long sleeves",
            "make the long dress short and make short sleeves long",
        ),
        ("a dress", "a red dress with a belt", "make the dress red and add a belt"),
        ("a dress with a belt", "a dress", "remove the belt"),
        (
            "a man riding a brown horse on a beach",
            "a woman riding a white horse on a beach",
            "change the man to a woman and make the brown horse white",
        ),
        ("a kitchen with a wooden table", "a kitchen with a glass table", "change the wooden table to a glass table"),
        ("a dog in a park", "a dog in the snow", "change the park to the snow"),
        ("a dog on the left", "a dog on the right", "change the dog on left to a dog on right"),
        ("a star at the top", "a star at the bottom", "change the star at top to a star at bottom"),
        ("a black running shoe", "a brown running shoe", "make the black running shoe brown"),
        ("a black riding boot", "a black rubber boot", "change the riding boot to a rubber boot"),
        ("two dogs playing in snow", "one dog sleeping on a couch", "change two dogs playing in snow to one dog "),
        ("a man with a hat and a red bag", "a man with a hat and a blue bag", "make the red bag blue"),
    ],
)
def test_edits_are_said_as_a_person_would(reference: str, target: str, sentence_start: str) -> None:
    sentence = worded_edits(reference, target, edits(reference, target))
    assert sentence.startswith(sentence_start) if sentence_start.endswith(" ") else sentence == sentence_start


@given(CAPTIONS, CAPTIONS)
def test_edits_account_for_every_word_that_changes(reference: str, target: str) -> None:
    changes, shared = edits(reference, target), shared_phrases(reference, target)
    old = [word for phrase in [*shared, *(edit.old for edit in changes)] for word in phrase]
    assert sorted(old) == sorted(bag_of_words(reference).elements())
    added = [edit.new for edit in changes if edit.new]
    assert len(shared) + len(added) == len(split_phrases(target))
    assert (not changes) == (caption_meaning(reference) == caption_meaning(target))
    assert bool(worded_edits(reference, target, changes)) == bool(changes)


def test_captions_of_thousands_of_phrases_have_no_edits() -> None:
    one = ", ".join(f"red thing{number}" for number in range(300))
    assert edits(one, one.replace("red", "blue")) == []


def test_a_thing_and_what_is_attached_to_it() -> None:
    phrase = split_phrases("a man riding a brown horse on the beach with a dog")[0]
    assert parts(phrase) == [("man",), ("riding", "brown", "horse"), ("on", "beach"), ("with", "dog")]
    assert parts(("black", "riding", "boot")) == [("black", "riding", "boot")]


@given(CAPTIONS, CAPTIONS)
def test_the_sentence_names_all_that_is_new_and_nothing_that_no_caption_has(reference: str, target: str) -> None:
    sentence = worded_edits(reference, target, edits(reference, target))
    old, new = bag_of_words(reference), bag_of_words(target)
    words = bag_of_words(sentence)
    assert set(new - old) - PREPOSITIONS - DOING <= set(words)
    assert set(words) <= {*old, *new, "make", "change", "add", "remove", "to"}
