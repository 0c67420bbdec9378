from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from spn4cir_core.negatives.read_false_negatives import SCHEMA, count_false_negatives, sample_false_negatives
from tests.negatives.written import Row, written


def drawn_rows(seed: int) -> list[Row]:
    """Rows as the stage writes them: sorted, each once, a candidate often for two reasons."""
    random = np.random.default_rng(seed)
    rows = {
        (f"t{random.integers(20):02d}", f"i{random.integers(6)}", ("look_alike", "same_caption")[random.integers(2)])
        for _ in range(200)
    }
    return sorted(rows)


@pytest.mark.parametrize("rows_per_group", [1, 7, 1000])
def test_counts_are_those_of_all_rows_at_once(tmp_path: Path, rows_per_group: int) -> None:
    rows = drawn_rows(seed=rows_per_group)
    counts = count_false_negatives(written(tmp_path, rows, rows_per_group))
    assert counts.by_reason == dict(sorted(Counter(reason for _, _, reason in rows).items()))
    assert counts.triplets == len({triplet for triplet, _, _ in rows})
    assert counts.candidates == len({(triplet, image) for triplet, image, _ in rows})


def test_nothing_is_counted_and_drawn_of_nothing(tmp_path: Path) -> None:
    artifact = written(tmp_path, [], 1)
    counts = count_false_negatives(artifact)
    assert (counts.by_reason, counts.triplets, counts.candidates) == ({}, 0, 0)
    assert sample_false_negatives(artifact, counts.by_reason, 3, seed=0) == {}


def test_a_sample_is_of_its_reason_without_repeats_and_independent_of_the_pieces(tmp_path: Path) -> None:
    rows = drawn_rows(seed=0)
    many = written(tmp_path / "many", rows, 3)
    by_reason = {**count_false_negatives(many).by_reason}
    samples = sample_false_negatives(many, by_reason, 5, seed=1)
    assert samples == sample_false_negatives(written(tmp_path / "one", rows, 1000), by_reason, 5, seed=1)
    assert samples != sample_false_negatives(many, by_reason, 5, seed=2)
    for reason, sampled in samples.items():
        sampled_rows = [tuple(row[name] for name in SCHEMA.names) for row in sampled]
        assert (
            len(set(sampled_rows)) == 5
            and set(sampled_rows) <= set(rows)
            and {row[2] for row in sampled_rows} == {reason}
        )
        assert sampled_rows == sorted(sampled_rows)
    everything = sample_false_negatives(many, by_reason, 10_000, seed=0)
    assert sum(map(len, everything.values())) == len(rows)
