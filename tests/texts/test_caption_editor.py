from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spn4cir_core.texts.caption_editor import edit_caption
from spn4cir_core.texts.word_kinds import WordKinds, stem

TABLE = [
    tuple(part.strip() for part in line.split("|"))
    for line in (Path(__file__).parent / "caption_edits.txt").read_text("utf8").splitlines()
    if line and not line.startswith("#")
]


@pytest.mark.parametrize(("caption", "text", "expected", "removed"), TABLE)
def test_table_of_edits(caption: str, text: str, expected: str, removed: str) -> None:
    edited = edit_caption(caption, text)
    assert edited.caption == expected
    assert sorted(edited.removed) == sorted(filter(None, removed.split(",")))


def test_table_is_long_enough() -> None:
    assert len(TABLE) >= 60


def test_unknown_structure_is_reference_and_text() -> None:
    edited = edit_caption("a red shirt", "quux frobnicated")
    assert (edited.caption, edited.understood, edited.removed) == ("a red shirt, quux frobnicated", False, ())


@pytest.mark.parametrize(
    ("caption", "text"), [("красное платье", "без рукавов"), ("一件红色的衣服", "换成蓝色"), ("เสื้อสีแดง", "สีน้ำเงิน")]
)
def test_other_languages_fall_back(caption: str, text: str) -> None:
    edited = edit_caption(caption, text)
    assert caption in edited.caption and text in edited.caption
    assert not edited.understood and not edited.removed


def test_learnt_kinds_replace_each_other() -> None:
    colours = ("red", "blue", "green")
    kinds = WordKinds.learn(f"{colour} {thing} with lock" for colour in colours for thing in ("bell", "truck", "house"))
    assert kinds.alike("bell", "truck") and not kinds.alike("bell", "lock")
    assert edit_caption("red bell with lock", "truck", kinds).caption == "red truck with lock"
    assert edit_caption("red bell with lock", "truck").caption == "red bell with lock, truck"


def test_words_that_stand_together_are_of_no_kind() -> None:
    kinds = WordKinds.learn(["hot dog stand", "hot stand", "dog stand", "hot dog house", "hot house", "dog house"])
    assert not kinds.alike("hot", "dog")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("kiwis", "kiwi"),
        ("bikinis", "bikini"),
        ("tennis", "tennis"),
        ("outlined", "outline"),
        ("stripes", "striped"),
        ("boxes", "box"),
        ("cats", "cat"),
    ],
)
def test_stems_are_shared(one: str, other: str) -> None:
    assert stem(one) == stem(other)


FRUIT = WordKinds.learn(["Yoggi Strawberry Yoghurt", "Yoggi Vanilla Yoghurt", "Vine Tomato", "Carrots", "Oat Milk"])


@pytest.mark.parametrize(
    ("caption", "text", "edited"),
    [
        ("Vine Tomato", "carrots instead", "carrots"),
        ("Vine Tomato", "instead, an aubergine", "aubergine"),
        ("Yoggi Strawberry Yoghurt", "milk instead", "milk"),
        ("Yoggi Strawberry Yoghurt", "vanilla flavour instead", "yoggi strawberry yoghurt, vanilla flavour"),
        ("Yoggi Strawberry Yoghurt", "change it to vanilla", "yoggi strawberry yoghurt, vanilla"),
        ("a red dress with long sleeves", "short sleeves instead", "a red dress with short sleeves"),
        ("red leather boot, black laces", "make it white laces", "red leather boot, white laces"),
    ],
)
def test_instead_puts_a_thing_in_the_thing_s_position_and_a_quality_beside_it(
    caption: str, text: str, edited: str
) -> None:
    assert edit_caption(caption, text, FRUIT).caption == edited


WORDS = st.lists(
    st.sampled_from(
        [
            "a",
            "the",
            "red",
            "blue",
            "with",
            "without",
            "no",
            "not",
            "but",
            "instead",
            "of",
            "rather",
            "than",
            "remove",
            "make",
            "it",
            "change",
            "to",
            "and",
            ",",
            ".",
            "dog",
            "hat",
            "on",
            "in",
            "same",
            "circle",
            "minus",
            "sign",
            "around",
            "it",
            "them",
            "for",
            "replace",
            "swap",
            "by",
            "is",
            "has",
            "large",
            "take",
            "away",
            "keep",
            "move",
            "light",
            "红",
            "and",
        ]
    ),
    max_size=9,
).map(" ".join)


@given(WORDS, WORDS)
def test_any_words_give_a_caption_without_the_removed_ones(caption: str, text: str) -> None:
    edited = edit_caption(caption, text)
    stems = {stem(word) for word in edited.caption.replace(",", " ").split()}
    assert not {stem(word) for word in edited.removed} & stems


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_is_edited(caption: str, text: str) -> None:
    edit_caption(caption, text)


@pytest.mark.parametrize("text", ["cross instead of minus sign and red", "cross rather than minus sign and red"])
def test_a_caption_that_gets_shorter_while_it_is_edited(text: str) -> None:
    caption = edit_caption("purple credit card with minus sign", text).caption
    assert {"red", "cross", "card"} <= set(caption.split()) and "minus" not in caption
