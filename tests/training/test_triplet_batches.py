from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from spn4cir_core.errors import StoreError
from spn4cir_core.training.settings import Schedule
from spn4cir_core.training.triplet_batches import FalseNegatives, TrainingTriplets, read_false_negatives
from tests.negatives.written import written


def make_triplets(repeats: list[int], texts: list[list[str]] | None = None) -> TrainingTriplets:
    count = len(repeats)
    return TrainingTriplets(
        ids=[f"t{row}" for row in range(count)],
        references=np.arange(count),
        targets=np.arange(count) + 1,
        texts=texts or [[f"text {row}"] for row in range(count)],
        weights=np.linspace(1, 2, count, dtype=np.float32),
        visits=np.repeat(np.arange(count), repeats),
        candidates=pa.table({"image_id": [str(row) for row in range(count + 1)]}),
    )


def test_every_epoch_visits_each_triplet_as_often_as_its_repeats_say() -> None:
    triplets = make_triplets([1, 3, 2, 1, 4])
    seen = [row for step in range(22) for row in triplets.batch(0, "stage1", step, 3).triplets_B]
    for epoch in range(6):
        assert Counter(seen[epoch * 11 : (epoch + 1) * 11]) == {0: 1, 1: 3, 2: 2, 3: 1, 4: 4}
    assert seen[:11] != seen[11:22], "epochs have orders of their own"


def test_a_batch_is_a_function_of_seed_stage_and_step() -> None:
    triplets = make_triplets([1] * 50, [[f"{row}{letter}" for letter in "abcd"] for row in range(50)])
    batch = triplets.batch(1, "stage1", 7, 16)
    again = triplets.batch(1, "stage1", 7, 16)
    assert batch.texts == again.texts and (batch.triplets_B == again.triplets_B).all()
    for other in (triplets.batch(2, "stage1", 7, 16), triplets.batch(1, "stage2", 7, 16)):
        assert other.texts != batch.texts
    assert [text[:-1] for text in batch.texts] == [str(row) for row in batch.triplets_B]
    np.testing.assert_array_equal(batch.targets_B, batch.triplets_B + 1)
    np.testing.assert_array_equal(batch.weights_B, triplets.weights[batch.triplets_B])


def test_each_of_a_triplets_texts_is_drawn() -> None:
    triplets = make_triplets([1], [["a", "b", "c"]])
    drawn = Counter(triplets.batch(0, "stage1", step, 8).texts[0] for step in range(300))
    assert set(drawn) == {"a", "b", "c"} and min(drawn.values()) > 60


@pytest.mark.parametrize(
    ("steps", "epochs", "batch_size", "expected"),
    [(5, 10.0, 4, 5), (None, 2.0, 4, 5), (None, 1.5, 64, 2), (0, 1, 4, 0)],
)
def test_steps_come_from_the_setting_or_from_epochs(
    steps: int | None, epochs: float, batch_size: int, expected: int
) -> None:
    schedule = Schedule(steps=steps, epochs=epochs, batch_size=batch_size)
    assert make_triplets([1] * 10).steps(schedule) == expected


def test_a_step_of_several_batches_takes_as_many_rows() -> None:
    assert make_triplets([1] * 10).steps(Schedule(epochs=4, batch_size=5, accumulate_batches=2)) == 4


def test_guarded_rows_come_with_their_place_in_the_batch() -> None:
    guards = FalseNegatives(np.array([0, 2, 2, 3]), np.array([5, 6, 9]))
    assert guards.pairs(np.array([2, 1, 0, 2])).tolist() == [[0, 9], [2, 5], [2, 6], [3, 9]]
    assert guards.pairs(np.array([1])).shape == (0, 2)


@pytest.mark.parametrize("rows_per_group", [1, 2, 100])
def test_guarded_candidates_are_read_group_by_group_each_once(tmp_path: Path, rows_per_group: int) -> None:
    triplets = make_triplets([1] * 4)
    rows = [
        ("t0", "0", "look_alike"),
        ("t0", "0", "same_caption"),
        ("t0", "1", "same_caption"),  # the target itself
        ("t0", "3", "same_caption"),
        ("t1", "9", "same_caption"),  # no candidate
        ("t3", "0", "look_alike"),
        ("t3", "0", "same_caption"),
        ("t8", "0", "look_alike"),  # not trained on
    ]
    false_negatives = read_false_negatives(written(tmp_path, rows, rows_per_group), triplets)
    assert false_negatives.starts.tolist() == [0, 2, 2, 2, 3] and false_negatives.rows.tolist() == [0, 3, 0]


def test_guarded_candidates_that_are_not_sorted_are_one_clear_error(tmp_path: Path) -> None:
    rows = [("t3", "0", "look_alike"), ("t1", "0", "look_alike")]
    with pytest.raises(StoreError, match=r"is not sorted.*Delete"):
        read_false_negatives(written(tmp_path, rows, 1), make_triplets([1] * 4))
