"""Words of captions against a bag for each caption, with and without captions that are counted already."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from spn4cir_core.texts.caption_words import CaptionWords, caption_words
from spn4cir_core.texts.count_words import CountedCaptions

WORDS = ["red", "blue", "hat", "hats", "light", "blue,", "and", "a", "of", "10cm", "striped", "红色的"]


def drawn_captions(count: int, seed: int) -> list[str | None]:
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, rng.integers(0, 7))) for _ in range(count)]
    return [text if number % 9 else None for number, text in enumerate(texts)] + [" ".join(["hat, red"] * 60)]


def test_words_are_those_of_a_bag_for_each_caption() -> None:
    captions = drawn_captions(300, 0)
    column: dict[str, int] = {}
    bags = [Counter(caption_words(caption or "")) for caption in captions]
    numbers = [[column.setdefault(word, len(column)) for word in bag] for bag in bags]
    words = CaptionWords.of(captions)
    counts = words.counts()
    assert counts is not None and list(words.column) == list(column) == counts.words
    assert counts.length_N.tolist() == [len(bag) for bag in bags]
    assert counts.number_E.tolist() == [number for own in numbers for number in own]
    assert counts.count_E.tolist() == [count for bag in bags for count in bag.values()]


@pytest.mark.parametrize("earlier", [[], drawn_captions(200, 1), drawn_captions(300, 0)[::-1], ["of the", None]])
def test_captions_that_are_counted_already_change_nothing(earlier: list[str | None]) -> None:
    captions, before = drawn_captions(300, 0), CaptionWords.of(earlier)
    counts = before.counts()
    assert counts is not None
    counted = CountedCaptions({caption or "": row for row, caption in enumerate(earlier)}, counts)
    right, words = CaptionWords.of(captions), CaptionWords.of(captions, counted)
    assert list(words.column) == list(right.column)
    for ours, theirs in zip((*words.by_word, *words.by_caption), (*right.by_word, *right.by_caption), strict=True):
        assert ours.dtype == theirs.dtype and (ours == theirs).all()
    assert (words.norm_N == right.norm_N).all() and (words.rarity_V == right.rarity_V).all()
