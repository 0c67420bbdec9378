from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spn4cir_core.pairs.draws import draw, draw_one, id_keys, shuffled


@given(st.integers(0, 2**64 - 1), st.integers(0, 10_000))
def test_arrays_and_integers_agree(key: int, step: int) -> None:
    assert int(draw(np.array([key], np.uint64), step)[0]) == draw_one(key, step)


def test_reference_values_of_splitmix64() -> None:
    # The first outputs of the published generator for the seed 1234567.
    assert [draw_one(1234567, step) for step in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


@given(st.integers(0, 200), st.integers(0, 2**64 - 1))
def test_shuffled_is_a_permutation(size: int, key: int) -> None:
    assert sorted(shuffled(size, key)) == list(range(size))


def test_shuffled_starts_anywhere_with_equal_chance() -> None:
    first = Counter(next(shuffled(5, int(key))) for key in id_keys([str(number) for number in range(5000)], 1))
    assert all(900 < first[position] < 1100 for position in range(5))


def test_keys_follow_id_and_seed_not_order() -> None:
    keys = id_keys(["a", "b"], 0)
    assert keys[0] == id_keys(["b", "a"], 0)[1]
    assert keys[0] != id_keys(["a"], 1)[0]
