from __future__ import annotations

from spn4cir_core.splits.things import thing_words

THINGS = [f"thing{number}" for number in range(60)]


def test_the_rarest_word_that_captions_share_is_the_thing() -> None:
    captions = [f"{colour} {thing} with dots" for thing in THINGS for colour in ("red", "blue")]
    assert thing_words(captions) == [caption.split()[1] for caption in captions]


def test_a_word_of_one_caption_or_of_many_is_no_thing() -> None:
    captions = [f"red bell number{row}" for row in range(50)]
    assert set(thing_words(captions)) == {""}
    assert thing_words(["", "red", ""]) == ["", "", ""] and thing_words([]) == []
