import numpy as np
import pytest

from spn4cir_core.blend.blend import Blend, Validation
from spn4cir_core.blend.calibration import Calibration
from spn4cir_core.blend.fit_blend import fit_blend
from spn4cir_core.blend.missing_captions import HiddenCaptions
from spn4cir_core.blend.ties import TIE_BREAK
from spn4cir_core.channels.base import CHANNELS, ComposedQueries, Gallery
from spn4cir_core.channels.picture import Picture
from spn4cir_core.texts.caption_edit_queries import caption_edit_queries
from spn4cir_core.texts.word_kinds import WordKinds

CAPTIONS = [
    f"{colour} {thing}{extra}"
    for colour in ("red", "blue", "green", "black")
    for thing in ("hat", "shirt", "belt", "car")
    for extra in ("", " with stars", " with a dot")
]
KINDS = ("picture", "modified_text", "edited_caption", "reference_caption", "removed_words")


def corpus(described: float = 1.0) -> tuple[Gallery, ComposedQueries, list[tuple[int, ...]], list[int]]:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(CAPTIONS), 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    captions = [caption if rng.random() < described else None for caption in CAPTIONS]
    drawn = caption_edit_queries(captions, 60, vectors_ND=vectors)
    references = [query.reference for query in drawn]
    queries = ComposedQueries.of(
        [query.modified_text for query in drawn],
        [captions[row] for row in references],
        {"picture": vectors[references]},
        WordKinds.learn(captions),
    )
    return Gallery(captions, {"picture": vectors}), queries, [(query.target,) for query in drawn], references


def test_the_fitted_blend_beats_every_channel_and_finds_the_target() -> None:
    gallery, queries, targets, references = corpus()
    blend, fit = fit_blend([CHANNELS.build(kind) for kind in KINDS], Validation(gallery, queries), targets, references)
    assert fit.recall >= fit.recall_alone_C.max() and fit.recall > 0.7
    assert blend.weight_C[0] <= TIE_BREAK  # these pictures are noise
    rows, _ = blend.best(gallery, queries, 1, references)
    hits = [row in rows_of for row, rows_of in zip(rows[:, 0], targets, strict=True)]
    assert np.mean(hits) >= fit.recall - 0.1


def test_best_rows_are_those_of_a_plain_sort() -> None:
    gallery, queries, _, references = corpus(described=0.5)
    channels = [CHANNELS.build(kind) for kind in KINDS]
    raw = np.stack([channel.scores(gallery, queries) for channel in channels], 1)
    blend = Blend(channels, Calibration.of(raw), np.array([1.0, 0.5, 2.0, 0.0, 1.0]))
    rows, scores = blend.best(gallery, queries, 7, references)
    every = blend.scores(gallery, queries)
    for number, reference in enumerate(references):
        order = [row for row in np.argsort(-every[number], kind="stable") if row != reference]
        assert rows[number].tolist() == order[:7]
        np.testing.assert_allclose(scores[number], every[number, order[:7]])


def test_contributions_add_up_to_the_score() -> None:
    gallery, queries, targets, references = corpus()
    blend, _ = fit_blend([CHANNELS.build(kind) for kind in KINDS], Validation(gallery, queries), targets, references)
    rows = np.array([3, 1, 8])
    np.testing.assert_allclose(
        blend.contributions(gallery, queries, rows).sum(1), blend.scores(gallery, queries, rows), rtol=1e-4, atol=1e-4
    )


def test_pictures_without_captions_are_found_by_what_they_have() -> None:
    gallery, queries, _, _ = corpus(described=0.5)
    raw = np.stack([CHANNELS.build(kind).scores(gallery, queries) for kind in KINDS], 1)
    blend = Blend([CHANNELS.build(kind) for kind in KINDS], Calibration.of(raw), np.ones(5))
    assert np.isfinite(blend.scores(gallery, queries)).all()


def test_more_hits_than_pictures_are_all_pictures() -> None:
    gallery = Gallery(["red hat", "blue hat", None])
    queries = ComposedQueries.of(["make it blue"], ["red hat"], {}, WordKinds())
    channels = [CHANNELS.build("edited_caption")]
    blend = Blend(channels, Calibration(np.zeros(1, np.float32), np.ones(1, np.float32)), np.ones(1))
    rows, _ = blend.best(gallery, queries, 99)
    assert rows.tolist()[0][0] == 1 and sorted(rows[0]) == [0, 1, 2]


def test_no_queries_cannot_be_fitted() -> None:
    empty = ComposedQueries([], [], [], {})
    with pytest.raises(ValueError, match="no validation queries"):
        fit_blend([CHANNELS.build("edited_caption")], Validation(Gallery(["red hat"]), empty), [], [])


def test_weights_hang_on_what_has_a_caption() -> None:
    gallery = Gallery(["red hat", None], {"picture": np.eye(2, dtype=np.float32)})
    pictures = np.array([[0.6, 0.8], [0.6, 0.8]], np.float32)
    queries = ComposedQueries.of(["make it red"] * 2, ["blue hat", None], {"picture": pictures}, WordKinds())
    channels = [CHANNELS.build("picture"), CHANNELS.build("modified_text"), CHANNELS.build("missing_caption")]
    calibration = Calibration(np.zeros(3, np.float32), np.ones(3, np.float32))
    weights = ([1.0, 10.0, 0.0], [2.0, 20.0, 0.0], [3.0, 30.0, 0.5], [4.0, 40.0, 0.25])
    blend = Blend(channels, calibration, *map(np.array, weights))
    words = channels[1].scores(gallery, queries)[:, 0]
    expected = [[0.6 + 10 * words[0], 3 * 0.8 + 0.5], [2 * 0.6 + 20 * words[1], 4 * 0.8 + 0.25]]
    np.testing.assert_allclose(blend.scores(gallery, queries), expected, rtol=1e-5)
    np.testing.assert_allclose(blend.contributions(gallery, queries).sum(1), expected, rtol=1e-5)


def halves(gallery: Gallery, queries: ComposedQueries, references: list[int]) -> list[Validation]:
    """The gallery with the captions of every other picture, and of the others."""
    validation = []
    for first in (0, 1):
        captions = [caption if row % 2 == first else None for row, caption in enumerate(gallery.captions)]
        of_references = [captions[row] for row in references]
        kinds = WordKinds.learn(gallery.captions)
        composed = ComposedQueries.of(queries.modified_texts, of_references, queries.vectors, kinds)
        validation.append(Validation(Gallery(captions, gallery.vectors), composed))
    return validation


def test_pictures_without_captions_are_no_worse_off_than_evidence_says() -> None:
    """Pictures alone tell every target; captions of a half of the gallery must not hide the other half."""
    gallery, queries, targets, references = corpus()
    vectors = gallery.vectors["picture"]
    queries.vectors["picture"][:] = vectors[[rows[0] for rows in targets]]  # type: ignore[index]
    channels = [CHANNELS.build(kind) for kind in (*KINDS, "missing_caption")]
    fewer = halves(gallery, queries, references)
    blend, fit = fit_blend(channels, Validation(gallery, queries), targets, references, hidden=HiddenCaptions(fewer))
    assert fit.weight_C[-1] == 0 and blend.without_caption_C is not None and blend.without_either_C is not None
    assert not blend.without_caption_C[1:5].any() and blend.without_caption_C[0] > 0 < blend.without_either_C[0]
    for validation in fewer:
        rows, _ = blend.best(*validation, 1, references)
        hits = np.array([row in of_query for row, of_query in zip(rows[:, 0], targets, strict=True)])
        uncaptioned = np.array([not validation.gallery.captions[of_query[0]] for of_query in targets])
        assert hits[uncaptioned].mean() > 0.9 and hits[~uncaptioned].mean() > 0.9


def test_a_gallery_without_captions_is_ordered_by_pictures_even_where_they_say_nothing() -> None:
    """The picture channel points away from every target, so that no fit gives it a weight."""
    gallery, queries, targets, references = corpus()
    queries.vectors["picture"][:] = -gallery.vectors["picture"][[rows[0] for rows in targets]]  # type: ignore[index]
    channels = [CHANNELS.build(kind) for kind in ("picture", "edited_caption", "missing_caption")]
    hidden = HiddenCaptions(halves(gallery, queries, references))
    blend, fit = fit_blend(channels, Validation(gallery, queries), targets, references, hidden=hidden)
    assert fit.weight_C[0] <= TIE_BREAK and blend.without_either_C is not None and blend.without_either_C[0] > 0
    bare = Gallery([None] * len(CAPTIONS), gallery.vectors)
    unnamed = ComposedQueries.of(queries.modified_texts, [None] * len(targets), queries.vectors, WordKinds())
    assert (np.ptp(blend.scores(bare, unnamed), axis=1) > 0).all()


@pytest.mark.parametrize(
    ("captions", "weights", "counts"),
    [
        (["a", "b"], ((1, 0), None, None), (True, True)),
        (["a", "b"], ((0, 0), (1, 0), (0, 0)), (False, True)),
        (["a", None], ((0, 0), (0, 0), (1, 0)), (True, True)),
        (["a", "b"], ((0, 0), (0, 0), (1, 0)), (False, True)),  # of a reference without a caption it may order all
        ([None, None], ((1, 0), (1, 0), (0, 0)), (False, False)),
        ([None, None], ((0, 0), (0, 0), (1, 0)), (True, True)),
    ],
)
def test_a_channel_counts_where_it_has_a_weight_for_a_picture_of_the_gallery(
    captions: list[str | None], weights: tuple[tuple[int, int] | None, ...], counts: tuple[bool, bool]
) -> None:
    weight_C, without_reference_C, without_caption_C = (None if row is None else np.array(row) for row in weights)
    assert weight_C is not None
    channels = [Picture(), Picture()]
    blend = Blend(channels, Calibration(np.zeros(2), np.ones(2)), weight_C, without_reference_C, without_caption_C)
    gallery = Gallery(captions, {})
    for reference_has_caption, expected in zip((True, False), counts, strict=True):
        assert blend.counts(0, gallery, reference_has_caption) == expected
        assert not blend.counts(1, gallery, reference_has_caption)
        query = ComposedQueries.of(["red"], ["a" if reference_has_caption else None], {}, WordKinds())
        weighs = bool(blend.weight_of(0, gallery, query).any())
        assert expected or not weighs, "what does not count has no weight for any picture"


def test_pictures_without_captions_are_ordered_even_where_only_captions_help() -> None:
    gallery, queries, targets, references = corpus()  # these pictures are noise
    channels = [CHANNELS.build(kind) for kind in (*KINDS, "missing_caption")]
    fewer = halves(gallery, queries, references)
    blend, _ = fit_blend(channels, Validation(gallery, queries), targets, references, hidden=HiddenCaptions(fewer))
    for captions in ([None] * len(CAPTIONS), ["red hat", *[None] * (len(CAPTIONS) - 1)]):
        scores = blend.scores(Gallery(captions, gallery.vectors), queries)
        assert (np.ptp(scores[:, 1:], axis=1) > 0).all()


def test_where_no_picture_has_a_caption_none_is_ahead() -> None:
    queries = ComposedQueries.of(["make it red"], [None], {}, WordKinds())
    channel = CHANNELS.build("missing_caption")
    assert channel.scores(Gallery([None, ""]), queries).tolist() == [[0, 0]]
    assert channel.scores(Gallery([None, "red hat"]), queries).tolist() == [[1, 0]]
    assert channel.scores(Gallery([]), queries).shape == (1, 0)


def test_a_few_captions_do_not_count_where_the_reference_image_has_none() -> None:
    vectors = {"picture": np.eye(3, dtype=np.float32)}
    few, most = (Gallery(captions, vectors) for captions in (["red hat", None, None], ["red hat", None, "red shirt"]))
    queries = ComposedQueries.of(["make it red"] * 2, [None, "blue hat"], {"picture": np.eye(3)[:2]}, WordKinds())
    channels = [CHANNELS.build(kind) for kind in ("picture", "modified_text", "missing_caption")]
    calibration = Calibration(np.zeros(3, np.float32), np.ones(3, np.float32))
    weights = ([1.0, 10.0, 0.0], [2.0, 20.0, 0.0], [3.0, 0.0, 0.5], [4.0, 0.0, 0.25])
    blend = Blend(channels, calibration, *map(np.array, weights))
    assert blend.scores(few, queries)[0].tolist() == [4, 0, 0]
    assert blend.scores(most, queries)[0, 0] > 10 and blend.scores(most, queries)[0, 1] == 0.25
    assert blend.scores(few, queries)[1, 0] > 5 and blend.scores(few, queries)[1, 1] == 3.5
