"""Fewer rows in a batch give what a full batch gives, whichever row comes first."""

from __future__ import annotations

import numpy as np
import pytest

from spn4cir_core.models.fewer_rows import ROWS_COMPARED, FewerRows

FULL = 16


class Kernels:
    """Rows of a full batch, and of smaller ones that differ for some rows; counts the rows that were computed."""

    def __init__(self, differs: set[int], values: list[int]) -> None:
        self.differs, self.values, self.sizes = differs, values, list[int]()

    def __call__(self, size: int) -> np.ndarray:
        self.sizes.append(size)
        is_other = size in self.differs
        return np.array([value + (is_other and value % 4 > 0) * 0.5 for value in self.values])


@pytest.mark.parametrize("differs", [set(), {1}, {1, 2}, {1, 2, 4, 8}, {2, 8}])
@pytest.mark.parametrize("first", range(4))
def test_a_row_that_agrees_by_chance_changes_no_other_row(differs: set[int], first: int) -> None:
    of_fewer_rows = FewerRows(FULL)
    for value in (first, *range(20)):
        assert of_fewer_rows(8, 1, Kernels(differs, [value])).tolist() == [value]


def test_one_row_costs_the_fewest_that_agree_and_shapes_are_learnt_apart() -> None:
    of_fewer_rows, learning = FewerRows(FULL), Kernels({1, 2}, [1])
    for _ in range(2 + ROWS_COMPARED):
        of_fewer_rows(8, 1, learning)
    assert sum(learning.sizes) <= (FULL + 4) * (2 + ROWS_COMPARED)
    later = Kernels({1, 2}, [1])
    of_fewer_rows(8, 1, later)
    of_fewer_rows(16, 1, later)
    of_fewer_rows(8, 5, later)
    assert later.sizes == [4, 1, FULL, 8, FULL]


def test_a_full_batch_is_computed_once() -> None:
    full = Kernels({1}, list(range(FULL)))
    FewerRows(FULL)(8, FULL, full)
    FewerRows(FULL)(8, 9, full)
    assert full.sizes == [FULL, FULL]
