"""Pictures of equal captions: what orders them, and where nothing does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from spn4cir_core.blend.blend import Blend, Validation
from spn4cir_core.blend.fit import WeightFit, fit_weights
from spn4cir_core.blend.fit_blend import fit_blend
from spn4cir_core.blend.missing_captions import HiddenCaptions
from spn4cir_core.blend.ties import LEAST_SHARE_EQUAL, TIE_BREAK, share_equal, with_tie_break
from spn4cir_core.channels.base import CHANNELS, ComposedQueries, Gallery
from spn4cir_core.texts.caption_edit_queries import caption_edit_queries
from spn4cir_core.texts.word_kinds import WordKinds

CAPTIONS = [
    f"{colour} {thing}{extra}"
    for colour in ("red", "blue", "green", "black")
    for thing in ("hat", "shirt", "belt", "car")
    for extra in ("", " with stars", " with a dot")
]
COPIES = 3
CHANNEL_LIST = [
    *(CHANNELS.build(kind) for kind in ("modified_text", "edited_caption", "removed_words")),
    CHANNELS.build({"kind": "trained", "vectors": "stage2"}),
    CHANNELS.build("missing_caption"),
]
TRAINED = 3
EDITED, ENCODER, NOISE = range(3)


def fitted(captions: list[str]) -> tuple[Blend, WeightFit, Validation, list[int]]:
    """A trained encoder knows of a picture only whether it is among the last: captions say all that is wanted.

    Returns:
        Beside the fit and what it was made on, the reference of each query.
    """
    random = np.random.default_rng(0)
    drawn = caption_edit_queries(captions, 60)
    references, answers = [query.reference for query in drawn], [query.answers for query in drawn]
    vectors_ND = random.normal(size=(len(captions), 8)).astype(np.float32)
    vectors_ND[-len(CAPTIONS) :, 0] += 9
    query_QD = random.normal(size=(len(drawn), 8)).astype(np.float32)
    query_QD[:, 0] += 9

    def validation_on(known: Sequence[str | None]) -> Validation:
        of_references = [known[row] for row in references]
        texts = [query.modified_text for query in drawn]
        queries = ComposedQueries.of(texts, of_references, {"stage2": query_QD}, WordKinds.learn(captions))
        return Validation(Gallery(known, {"stage2": vectors_ND}), queries)

    halves = [
        validation_on([caption if row % 2 == half else None for row, caption in enumerate(captions)]) for half in (0, 1)
    ]
    whole = validation_on(captions)
    blend, fit = fit_blend(CHANNEL_LIST, whole, answers, references, hidden=HiddenCaptions(halves))
    return blend, fit, whole, references


def test_what_sees_pictures_orders_those_of_one_caption() -> None:
    blend, fit, (gallery, queries), references = fitted(CAPTIONS * COPIES)
    assert fit.tie_break == TRAINED and 0 < fit.weight_C[TRAINED] <= TIE_BREAK
    rows, _ = blend.best(gallery, queries, 1, references)
    assert np.mean(rows[:, 0] >= len(CAPTIONS) * (COPIES - 1)) > 0.7, "without a tie-break the first ones come first"
    captions_only = Blend(CHANNEL_LIST, blend.calibration, np.where(np.arange(5) == TRAINED, 0, blend.weight_C))
    rows, _ = captions_only.best(gallery, queries, 1, references)
    assert np.mean(rows[:, 0] < len(CAPTIONS)) > 0.7
    assert fit.recall >= fit.recall_without_C[TRAINED]
    assert blend.without_reference_C is not None and blend.without_reference_C[TRAINED] > 0


def test_where_captions_are_distinct_nothing_changes() -> None:
    blend, fit, _, _ = fitted(CAPTIONS)
    assert fit.tie_break is None and blend.weight_C[TRAINED] == 0


def test_of_distinct_captions_those_that_have_nothing_of_a_query_are_ordered_by_looks() -> None:
    queries, rows = 30, 40
    vectors_ND = np.random.default_rng(0).normal(size=(rows, 8)).astype(np.float32)
    channels = [CHANNELS.build(kind) for kind in ("modified_text", "picture", "missing_caption")]
    captions = [f"thing {row}" for row in range(rows)]
    words = WordKinds.learn(captions)
    texts, answers = [f"thing {row}" for row in range(queries)], [[row] for row in range(queries)]
    gallery = Gallery(captions, {"picture": vectors_ND})
    composed = ComposedQueries.of(texts, ["a belt"] * queries, {"picture": -vectors_ND[:queries]}, words)
    blend, fit = fit_blend(channels, Validation(gallery, composed), answers, [-1] * queries)
    assert fit.tie_break == 1 and 0 < blend.weight_C[1] <= TIE_BREAK
    without_a_text = ComposedQueries.of([""], ["a belt"], {"picture": vectors_ND[7:8]}, words)
    order, _ = blend.best(gallery, without_a_text, 3, [-1])
    assert order[0, 0] == 7


def scores(encoder: float) -> tuple[np.ndarray, list[list[int]], list[int]]:
    """(60, 3, 40): four equal captions answer each query; an encoder adds ``encoder`` to the second; noise."""
    random = np.random.default_rng(0)
    score_QCN = random.normal(size=(60, 3, 40)).astype(np.float32)
    targets = [sorted(random.choice(np.arange(1, 40), 4, replace=False).tolist()) for _ in range(60)]
    for number, rows in enumerate(targets):
        score_QCN[number, EDITED] = -0.3
        score_QCN[number, EDITED, rows] = 6
        score_QCN[number, ENCODER, rows[1]] += encoder
    return score_QCN, targets, [0] * 60


def test_a_tie_break_is_the_best_alone_of_the_channels_that_may_be_one() -> None:
    data = scores(encoder=2)
    plain = fit_weights(*data)
    assert plain.tie_break is None and plain.weight_C[EDITED] > 0 and not plain.weight_C[[ENCODER, NOISE]].any()
    for allowed, expected in (([False, True, True], ENCODER), ([False, False, True], NOISE)):
        fit = fit_weights(*data, tie_breaks_C=np.array(allowed))
        assert fit.tie_break == expected and fit.recall == plain.recall
        assert fit.low_C[expected] == fit.weight_C[expected] == fit.high_C[expected] > 0
        np.testing.assert_array_equal(np.delete(fit.weight_C, expected), np.delete(plain.weight_C, expected))


def test_no_tie_break_where_none_may_be_or_one_has_a_weight_already_or_no_scores() -> None:
    data, targets, excluded = scores(encoder=2)
    assert fit_weights(data, targets, excluded, tie_breaks_C=np.zeros(3, bool)).tie_break is None
    assert fit_weights(data, targets, excluded, tie_breaks_C=np.array([True, False, False])).tie_break is None
    data[:, ENCODER] = 0
    assert fit_weights(data, targets, excluded, tie_breaks_C=np.array([False, True, False])).tie_break is None


def test_a_tie_break_that_costs_recall_is_left_out() -> None:
    """Two captions are equal, one of them wrong: in the order of the gallery half of the queries are right."""
    data, targets, excluded = scores(encoder=-9)
    firsts = [[rows[1]] for rows in targets]
    plain = fit_weights(data, firsts, excluded)
    fit = fit_weights(data, firsts, excluded, tie_breaks_C=np.array([False, True, False]))
    assert fit.tie_break is None and fit.recall == plain.recall == pytest.approx(1 / 4)


def test_a_tie_break_orders_equal_captions_and_no_others() -> None:
    weight_C = with_tie_break(np.array([3.0, 0.0, 0.5]), 1)
    assert weight_C.tolist() == [3.0, TIE_BREAK, 0.5]
    assert with_tie_break(np.array([0.01, 0.0]), 1).tolist() == [0.01, TIE_BREAK / 100]


@pytest.mark.parametrize(
    ("captions", "share"),
    [
        (["red hat", "blue hat", None, ""], 0),
        (["red hat, blue car", "Blue car and a red hat", "green hat", "black hat"], 0.5),
        ([None, None], 0),
        (["red hat"] * 2 + [f"hat {number}" for number in range(18)], LEAST_SHARE_EQUAL),
    ],
)
def test_share_of_pictures_whose_caption_is_anothers(captions: list[str | None], share: float) -> None:
    assert share_equal(captions) == share
