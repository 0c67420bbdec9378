from __future__ import annotations

import random

import pytest

from spn4cir_core.texts.caption_edit_queries import caption_edit_queries
from spn4cir_core.texts.differences import bag_of_words, caption_meaning, difference

WORDS = ["red", "blue", "small", "large", "circle", "star", "box", "tree"]


def captions(count: int, seed: int) -> list[str]:
    draws = random.Random(seed)
    return [" ".join(draws.sample(WORDS, draws.randint(1, 5))) for _ in range(count)]


@pytest.mark.parametrize("seed", range(3))
def test_pairs_share_most_words_and_texts_name_the_change_alone(seed: int) -> None:
    given = captions(60, seed)
    queries = caption_edit_queries(given, 40, seed)
    assert len(queries) > 20 and len({query.reference for query in queries}) == len(queries)
    for query in queries:
        reference, target = given[query.reference], given[query.target]
        old, new = set(bag_of_words(reference)), set(bag_of_words(target))
        assert len(old & new) >= max(len(old), len(new)) / 2 and caption_meaning(reference) != caption_meaning(target)
        change = difference(reference, target)
        named = {word for phrase in change.added + change.removed for word in phrase}
        assert not (old & new - named) & set(query.modified_text.split())
        assert change.added_text in query.modified_text


def test_the_same_captions_and_seed_give_the_same_queries() -> None:
    given = captions(50, 0)
    assert caption_edit_queries(given, 10, 1) == caption_edit_queries(given, 10, 1)
    assert caption_edit_queries(given, 10, 1) != caption_edit_queries(given, 10, 2)
    assert len(caption_edit_queries(given, 7, 1)) == 7


@pytest.mark.parametrize("given", [[], ["", ""], ["red circle"] * 3, ["red", "blue"]])
def test_captions_without_a_pair_give_no_query(given: list[str]) -> None:
    assert caption_edit_queries(given, 5, 0) == []
