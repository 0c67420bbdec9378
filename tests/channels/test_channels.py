"""Every channel on a small gallery, against scores counted the slow obvious way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spn4cir_core.channels.base import CHANNELS, ComposedQueries, Gallery
from spn4cir_core.errors import InputError
from spn4cir_core.texts.word_kinds import WordKinds

CAPTIONS = ["a red hat", "a blue hat", None, "a red shirt with a belt", "a blue shirt", ""]


def gallery() -> Gallery:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(6, 4)).astype(np.float32)
    captions = vectors.copy()
    captions[[2, 5]] = np.nan
    return Gallery(CAPTIONS, {"picture": vectors, "caption": captions, "stage2": vectors})


def queries(text: str, caption: str | None = "a red hat") -> ComposedQueries:
    vector = np.eye(4, dtype=np.float32)[:1]
    names = ("picture", "caption", "stage2", "text")
    return ComposedQueries.of([text], [caption], dict.fromkeys(names, vector), WordKinds())


@pytest.mark.parametrize("kind", sorted(CHANNELS.members))
def test_every_channel_scores_every_picture_and_any_rows_of_it(kind: str) -> None:
    channel = CHANNELS.build(kind)
    scores = channel.scores(gallery(), queries("make it blue, without belt"))
    assert scores.shape == (1, 6) and scores.dtype == np.float32
    rows = np.array([4, 0, 2])
    np.testing.assert_array_equal(
        channel.scores(gallery(), queries("make it blue, without belt"), rows), scores[:, rows]
    )


@pytest.mark.parametrize(
    "kind", ["modified_text", "edited_caption", "edited_caption_meaning", "reference_caption", "removed_words"]
)
def test_pictures_without_a_caption_have_no_score(kind: str) -> None:
    scores = CHANNELS.build(kind).scores(gallery(), queries("blue shirt instead of red hat"))
    np.testing.assert_array_equal(np.isnan(scores[0]), [False, False, True, False, False, True])


@pytest.mark.parametrize("kind", ["modified_text", "edited_caption", "reference_caption"])
def test_best_rows_of_a_word_channel_are_its_highest_scores(kind: str) -> None:
    channel, composed = CHANNELS.build(kind), queries("red belt")
    scores = np.nan_to_num(channel.scores(gallery(), composed)[0])
    best = int(channel.best_rows(gallery(), composed, 1)[0])
    assert scores[best] == scores.max()
    assert sorted(channel.best_rows(gallery(), composed, 6)) == np.flatnonzero(scores).tolist()


def test_words_that_are_taken_away_bring_no_picture_up() -> None:
    assert CHANNELS.build("removed_words").best_rows(gallery(), queries("without red"), 6).tolist() == []


def test_vector_channels_are_products() -> None:
    scores = CHANNELS.build("picture").scores(gallery(), queries("blue"))
    np.testing.assert_allclose(scores[0], gallery().vectors["picture"][:, 0])


def test_a_channel_without_vectors_has_no_score() -> None:
    assert np.isnan(CHANNELS.build("picture").scores(Gallery(CAPTIONS), queries("blue"))).all()


def test_edited_caption_prefers_the_equal_caption() -> None:
    scores = CHANNELS.build("edited_caption").scores(gallery(), queries("make it blue"))
    assert np.nanargmax(scores[0]) == 1
    assert scores[0, 1] == pytest.approx(1, abs=1e-5)


def test_modified_text_looks_for_no_removed_word() -> None:
    scores = CHANNELS.build("modified_text").scores(gallery(), queries("without belt", "a red shirt with a belt"))
    assert np.isnan(scores).all()


def test_removed_words_count_against() -> None:
    scores = CHANNELS.build("removed_words").scores(gallery(), queries("without a belt", "a red shirt with a belt"))[0]
    assert scores[3] == pytest.approx(-1) and scores[0] == scores[1] == scores[4] == 0


def test_reference_caption_without_a_caption_says_nothing() -> None:
    assert np.isnan(CHANNELS.build("reference_caption").scores(gallery(), queries("blue", None))).all()


@pytest.mark.parametrize("text", ["", "quux", "换成蓝色", "without quux"])
@pytest.mark.parametrize("kind", sorted(CHANNELS.members))
def test_odd_texts_and_a_gallery_of_three_give_scores(kind: str, text: str) -> None:
    small = Gallery(["same caption"] * 3, {})
    assert CHANNELS.build(kind).scores(small, queries(text, "")).shape == (1, 3)


def test_vectors_must_have_a_row_for_each_picture() -> None:
    with pytest.raises(InputError, match="one row for each picture"):
        Gallery(CAPTIONS, {"picture": np.zeros((5, 4), np.float32)})


def test_the_text_is_compared_with_pictures_where_an_encoder_read_it() -> None:
    composed = queries("make it blue")
    scores = CHANNELS.build("text_to_picture").scores(gallery(), composed)
    np.testing.assert_allclose(scores[0], gallery().vectors["picture"][:, 0], rtol=1e-6)
    unread = {name: vectors for name, vectors in composed.vectors.items() if name != "text"}
    without = ComposedQueries.of(composed.modified_texts, composed.reference_captions, unread, WordKinds())
    assert np.isnan(CHANNELS.build("text_to_picture").scores(gallery(), without)).all()


@pytest.mark.parametrize("kind", ["picture", "text_to_picture", "edited_caption_meaning", "frozen_composed"])
def test_an_encoder_whose_vectors_have_another_length_now_is_one_error(kind: str) -> None:
    longer = np.eye(5, dtype=np.float32)[:1]
    vectors = {name: longer for name in ("picture", "caption", "text")}
    changed = ComposedQueries.of(["red"], ["a red hat"], vectors, WordKinds())
    with pytest.raises(InputError, match="gives queries 5 numbers, the pictures' vectors have 4: the model behind"):
        CHANNELS.build(kind).scores(gallery(), changed)


def test_queries_without_vectors_have_no_scores() -> None:
    nothing = ComposedQueries.of(["red"], [None], {"picture": np.full((1, 1), np.nan, np.float32)}, WordKinds())
    scores = CHANNELS.build("picture").scores(gallery(), nothing)
    assert scores.shape == (1, 6) and np.isnan(scores).all()


class OnDisk:
    """Vectors of which only wanted rows are read, as those of a search index."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.shape, self.ndim, self._vectors = vectors.shape, vectors.ndim, vectors

    def __len__(self) -> int:
        return len(self._vectors)

    def __getitem__(self, rows: object) -> np.ndarray:
        assert isinstance(rows, np.ndarray) and len(rows) < len(self), "all would be read"
        return self._vectors[rows]


def test_of_vectors_on_disk_only_the_rows_of_candidates_are_read() -> None:
    whole, rows = gallery(), np.array([4, 0, 2])
    vectors: dict[str, Any] = {name: OnDisk(vectors) for name, vectors in whole.vectors.items()}
    scores = CHANNELS.build("picture").scores(Gallery(CAPTIONS, vectors), queries("make it blue"), rows)
    np.testing.assert_array_equal(scores, CHANNELS.build("picture").scores(whole, queries("make it blue"), rows))
