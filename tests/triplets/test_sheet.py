"""Which triplets a sheet shows."""

from __future__ import annotations

from pathlib import Path

from spn4cir_core.triplets.sheet import drawn, drawn_for_training
from spn4cir_core.triplets.triplet_tables import training_triplets
from tests.measured_store import NAME, measured_store


def test_triplets_of_the_training_split_are_drawn_as_from_all_of_them(tmp_path: Path) -> None:
    triplets = measured_store(tmp_path).current(NAME, "triplets")
    assert triplets is not None
    training = training_triplets(triplets)
    assert 0 < len(training) < triplets.summary["rows"]
    for count in (1, 5, len(training) + 1):
        assert drawn_for_training(triplets, count) == drawn(training, count)
