import math
from itertools import pairwise

import numpy as np
import pytest

from spn4cir_core.texts import caption_words as caption_words_module
from spn4cir_core.texts.caption_words import K1, CaptionWords, caption_words, distinct_rows

CAPTIONS = ["red hat", "red hat, red belt", "blue hat with feather", None, "", "红色的衣服"]


def slow_weights(captions: list[str | None]) -> list[dict[str, float]]:
    bags = [list(caption_words(caption or "")) for caption in captions]
    described = sum(map(bool, bags))
    weights = []
    for bag in bags:
        seen = {word: sum(word in other for other in bags) for word in bag}
        rarity = {word: math.log(1 + (described - n + 0.5) / (n + 0.5)) for word, n in seen.items()}
        weights.append({word: rarity[word] * bag.count(word) * (K1 + 1) / (bag.count(word) + K1) for word in bag})
    return weights


def test_cosine_is_that_of_weighted_bags_of_words() -> None:
    weights = slow_weights(CAPTIONS)
    scores = CaptionWords.of(CAPTIONS).cosine(caption_words("red hat, red belt"))
    query = weights[1]
    for score, bag in zip(scores, weights, strict=True):
        if not bag:
            assert np.isnan(score)
            continue
        dot = sum(query[word] * bag.get(word, 0) for word in query)
        norm = math.sqrt(sum(v * v for v in query.values()) * sum(v * v for v in bag.values()))
        assert score == pytest.approx(dot / norm, abs=1e-5)


def test_coverage_is_one_for_all_words_and_zero_for_none() -> None:
    scores = CaptionWords.of(CAPTIONS).coverage(caption_words("blue hat"))
    assert scores[2] == pytest.approx(1) and 0 < scores[0] < 1 and scores[5] == 0


@pytest.mark.parametrize("look_ups", [0, 10**6], ids=["entries looked up", "all entries summed"])
def test_scores_of_some_rows_are_those_of_all(monkeypatch: pytest.MonkeyPatch, look_ups: int) -> None:
    monkeypatch.setattr(caption_words_module, "LOOK_UPS", look_ups)
    words, rows = CaptionWords.of(CAPTIONS), np.array([5, 0, 3, 2])
    for query in ("red hat, red belt", "blue hat with feather", "quux", ""):
        for scores in (words.cosine, words.coverage):
            np.testing.assert_array_equal(scores(caption_words(query), rows), scores(caption_words(query))[rows])


def test_rows_with_one_of_the_words() -> None:
    words = CaptionWords.of(CAPTIONS)
    assert words.rows_with(caption_words("feather or belt"), 10).tolist() == [1, 2]
    assert words.rows_with(caption_words("quux"), 10).tolist() == []
    assert words.rows_with(("hat", "belt"), 10).tolist() == [0, 1, 2]
    assert words.rows_with(("hat", "belt"), 1).tolist() == [1], "the rarer word is enough"


def test_unknown_words_give_no_scores() -> None:
    assert np.isnan(CaptionWords.of(CAPTIONS).cosine(caption_words("quux"))).all()
    assert np.isnan(CaptionWords.of([]).cosine(("red",))).all()


def test_scripts_without_spaces_are_pairs_of_characters() -> None:
    assert caption_words("红色的")[:2] == ("红色", "色的")


def test_phrases_tell_same_words_apart() -> None:
    captions = ["small red circle, large blue star", "small blue circle, large red star"]
    assert np.argmax(CaptionWords.of(captions).cosine(caption_words(captions[1]))) == 1


def test_memory_is_counted() -> None:
    words = CaptionWords.of(CAPTIONS)
    arrays = [array for runs in (words.by_word, words.by_caption) for array in runs]
    assert words.nbytes == sum(array.nbytes for array in arrays)


def test_runs_hold_each_word_of_each_caption_once_either_way() -> None:
    words, right = CaptionWords.of(CAPTIONS), slow_weights(CAPTIONS)
    for runs, is_by_word in ((words.by_word, True), (words.by_caption, False)):
        entries = [
            (*((number, run) if is_by_word else (run, number)), weight)
            for run, (start, end) in enumerate(pairwise(runs.start.tolist()))
            for number, weight in zip(runs.number_E[start:end], runs.weight_E[start:end], strict=True)
        ]
        assert len(entries) == sum(map(len, right))
        word_of = {column: word for word, column in words.column.items()}
        for row, column, weight in entries:
            assert weight == pytest.approx(right[row][word_of[column]], rel=1e-5)


def test_distinct_rows_are_those_of_a_set() -> None:
    rows = [np.array([5, 1, 5]), np.array([], np.int64), np.array([7, 1])]
    assert distinct_rows(rows).tolist() == [1, 5, 7]
    assert distinct_rows([]).tolist() == distinct_rows([np.array([], np.int64)]).tolist() == []
