from __future__ import annotations

import numpy as np
import pytest

from spn4cir_core.channels.base import ComposedQueries, Gallery
from spn4cir_core.channels.frozen_composed import FrozenComposed
from spn4cir_core.errors import InputError
from spn4cir_core.texts.word_kinds import WordKinds

NAN = np.full(4, np.nan, np.float32)


def unit(rows: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)
    units: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def scores(**vectors: np.ndarray) -> np.ndarray:
    gallery = Gallery([None] * 5, {"picture": unit(5, 0)})
    count = len(next(iter(vectors.values())))
    return FrozenComposed().scores(
        gallery, ComposedQueries.of(["red"] * count, [None] * count, vectors, WordKinds.learn([]))
    )


def cosine(query: np.ndarray) -> np.ndarray:
    return np.array([float(query @ picture) / float(np.linalg.norm(query)) for picture in unit(5, 0)])


def test_two_towers_are_added_and_a_missing_side_leaves_the_other() -> None:
    picture, text = unit(4, 1), unit(4, 2)
    picture[1], text[2], picture[3], text[3] = NAN, NAN, NAN, NAN
    channel_scores = scores(picture=picture, text=text)
    for row, query in enumerate((picture[0] + text[0], text[1], picture[2])):
        np.testing.assert_allclose(channel_scores[row], cosine(query), atol=1e-6)
    assert np.isnan(channel_scores[3]).all()


def test_what_the_encoder_composed_goes_before_the_sum() -> None:
    picture, text, composed = unit(2, 1), unit(2, 2), unit(2, 3)
    composed[1] = NAN
    channel_scores = scores(picture=picture, text=text, composed=composed)
    np.testing.assert_allclose(channel_scores[0], cosine(composed[0]), atol=1e-6)
    np.testing.assert_allclose(channel_scores[1], cosine(picture[1] + text[1]), atol=1e-6)


@pytest.mark.parametrize("name", ["picture", "text"])
def test_queries_of_one_side_alone(name: str) -> None:
    np.testing.assert_allclose(scores(**{name: unit(1, 4)})[0], cosine(unit(1, 4)[0]), atol=1e-6)


def test_parts_of_different_lengths_are_one_error() -> None:
    with pytest.raises(InputError, match="gives queries 3 numbers, the pictures' vectors have 4"):
        scores(picture=unit(1, 1), text=unit(1, 2)[:, :3])
    with pytest.raises(InputError, match="gives queries 3 numbers"):
        scores(picture=unit(1, 1), text=unit(1, 2), composed=unit(1, 3)[:, :3])
