from __future__ import annotations

import random

import numpy as np
import pytest

from spn4cir_core.texts import caption_edit_queries as module
from spn4cir_core.texts.caption_edit_queries import caption_edit_queries
from spn4cir_core.texts.caption_editor import edit_caption
from spn4cir_core.texts.caption_words import caption_words
from spn4cir_core.texts.differences import bag_of_words, caption_meaning, difference, split_phrases

WORDS = ["red", "blue", "small", "large", "circle", "star", "box", "tree"]
COLOURS, THINGS = ("red", "blue", "green"), ("hat", "shirt", "belt")
CAPTIONS = [f"{colour} {thing}{extra}" for colour in COLOURS for thing in THINGS for extra in ("", " with stars")] * 2


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
        in_text = {word for phrase in split_phrases(query.modified_text) for word in phrase}
        assert not (old & new - named) & in_text
        assert not change.added or in_text & {word for phrase in change.added for word in phrase}


def test_of_captions_that_list_things_one_changes() -> None:
    things = [f"{size} {colour} {shape}" for size in ("small", "large") for colour in COLOURS for shape in THINGS]
    draws = random.Random(0)
    given = [", ".join(draws.sample(things, 3)) for _ in range(1500)]
    queries = caption_edit_queries(given, 300, 0)
    old_new = [
        (set(split_phrases(given[query.reference])), set(split_phrases(given[query.target]))) for query in queries
    ]
    assert len(queries) > 200 and all(len(old - new) == len(new - old) == 1 for old, new in old_new)


def test_answers_are_all_with_the_targets_caption_and_the_most_alike_is_the_target() -> None:
    vectors = np.random.default_rng(0).normal(size=(len(CAPTIONS), 8))
    every, nearest = caption_edit_queries(CAPTIONS, 40), caption_edit_queries(CAPTIONS, 40, vectors_ND=vectors)
    assert 30 <= len(every) <= 40
    for query, one in zip(every, nearest, strict=True):
        meaning = caption_meaning(CAPTIONS[query.target])
        rows = {row for row, caption in enumerate(CAPTIONS) if caption_meaning(caption) == meaning}
        assert query.target in query.answers and set(query.answers) == set(one.answers) == rows - {query.reference}
        assert one.target == max(query.answers, key=lambda row: float(vectors[row] @ vectors[query.reference]))


def test_texts_turn_the_references_caption_into_the_targets_mostly() -> None:
    right = [
        set(caption_words(edit_caption(CAPTIONS[query.reference], query.modified_text).caption))
        == set(caption_words(CAPTIONS[query.target]))
        for query in caption_edit_queries(CAPTIONS, 60)
    ]
    assert np.mean(right) > 0.6


def test_wordings_are_several_and_name_the_thing_only_where_others_stay_unsaid() -> None:
    texts = [query.modified_text for query in caption_edit_queries(CAPTIONS, 60)]
    listed = [
        query.modified_text for query in caption_edit_queries([f"{caption}, small dog" for caption in CAPTIONS], 60)
    ]
    for word in ("instead", "replace", "not", "with", "without"):
        assert any(word in text.split() for text in texts), word
    assert not any("make" in text.split() for text in texts) and any("make" in text.split() for text in listed)
    assert not any("dog" in text for text in listed)


def test_of_many_captions_a_sample_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_COMPARED", 2)
    few = caption_edit_queries(CAPTIONS, 40)
    assert few == caption_edit_queries(CAPTIONS, 40) and 0 < len(few) <= 40


def test_the_same_captions_and_seed_give_the_same_queries() -> None:
    given = captions(50, 0)
    assert caption_edit_queries(given, 10, 1) == caption_edit_queries(given, 10, 1)
    assert caption_edit_queries(given, 10, 1) != caption_edit_queries(given, 10, 2)
    assert len(caption_edit_queries(given, 7, 1)) == 7


@pytest.mark.parametrize(
    "given", [[], ["", ""], [None, "red hat"], ["red circle"] * 3, ["red", "blue"], ["red hat", "blue sea", None]]
)
def test_captions_without_a_pair_give_no_query(given: list[str | None]) -> None:
    assert caption_edit_queries(given, 5, 0) == []
