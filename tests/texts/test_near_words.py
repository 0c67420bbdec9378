"""Words that look alike, against every word compared by difflib."""

from __future__ import annotations

from difflib import SequenceMatcher, get_close_matches
from random import Random

from spn4cir_core.texts.near_words import NearWords

LEAST = 0.75


def drawn_words(count: int, seed: int) -> list[str]:
    random = Random(seed)
    return ["".join(random.choices("abcdeé日", k=random.randint(1, 12))) for _ in range(count)]


def test_no_word_is_missed_and_few_are_looked_at() -> None:
    words, near = drawn_words(400, 1), NearWords(drawn_words(400, 1))
    looked_at = 0
    for word in drawn_words(60, 2):
        alike = near.alike(word, LEAST)
        looked_at += len(alike)
        right = {other for other in words if SequenceMatcher(None, other, word).ratio() >= LEAST}
        assert right <= set(alike)
        assert get_close_matches(word, alike, 1, LEAST) == get_close_matches(word, list(dict.fromkeys(words)), 1, LEAST)
    assert looked_at < 60 * 400 / 4


def test_no_words_and_long_words() -> None:
    assert NearWords([]).alike("word", LEAST) == []
    assert NearWords(["", "a" * 1000]).alike("a" * 900, LEAST) == []
    assert NearWords(["a" * 200]).alike("a" * 190, LEAST) == ["a" * 200]
