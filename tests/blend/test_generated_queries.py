import numpy as np

from spn4cir_core.blend.generated_queries import generated_queries
from spn4cir_core.texts.caption_editor import edit_caption
from spn4cir_core.texts.caption_words import caption_words
from spn4cir_core.texts.differences import caption_meaning

COLOURS, THINGS = ("red", "blue", "green"), ("hat", "shirt", "belt")
CAPTIONS = [f"{colour} {thing}{extra}" for colour in COLOURS for thing in THINGS for extra in ("", " with stars")] * 2


def test_pairs_share_half_of_the_longer_captions_words() -> None:
    queries = generated_queries(CAPTIONS, most=40)
    assert 30 <= len(queries) <= 40
    for query in queries:
        ours, theirs = (
            {w for w in caption_words(CAPTIONS[row]) if " " not in w} for row in (query.reference, query.targets[0])
        )
        assert len(ours & theirs) >= 0.5 * max(len(ours), len(theirs))
        assert query.reference not in query.targets


def test_targets_are_all_with_the_targets_caption_or_the_most_alike_of_them() -> None:
    every = generated_queries(CAPTIONS, most=40)
    vectors = np.random.default_rng(0).normal(size=(len(CAPTIONS), 8))
    nearest = generated_queries(CAPTIONS, vectors, most=40)
    for query, one in zip(every, nearest, strict=True):
        meaning = caption_meaning(CAPTIONS[query.targets[0]])
        rows = {row for row, caption in enumerate(CAPTIONS) if caption_meaning(caption) == meaning}
        assert set(query.targets) == rows - {query.reference}
        best = max(query.targets, key=lambda row: float(vectors[row] @ vectors[query.reference]))
        assert one.targets == (best,)


def test_texts_turn_the_references_caption_into_the_targets_mostly() -> None:
    queries = generated_queries(CAPTIONS, most=60)
    right = [
        set(caption_words(edit_caption(CAPTIONS[query.reference], query.modified_text).caption))
        == set(caption_words(CAPTIONS[query.targets[0]]))
        for query in queries
    ]
    assert np.mean(right) > 0.6


def test_same_captions_and_seed_give_the_same_queries() -> None:
    assert generated_queries(CAPTIONS, most=20, seed=3) == generated_queries(CAPTIONS, most=20, seed=3)
    assert generated_queries(CAPTIONS, most=20, seed=3) != generated_queries(CAPTIONS, most=20, seed=4)


def test_captions_that_share_nothing_give_no_queries() -> None:
    assert generated_queries(["red hat", "blue sea", None, ""]) == []
    assert generated_queries(["one caption"] * 5) == []
    assert generated_queries([]) == []
