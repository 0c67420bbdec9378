from __future__ import annotations

from typing import Any

import pytest

from spn4cir_core.errors import StoreError
from spn4cir_core.triplets.triplet_tables import read_candidates, read_triplets, training_triplets


def test_readers_name_what_an_older_artefact_lacks(hand_written: Any) -> None:
    triplets = hand_written(
        "triplets", triplets=[{"triplet_id": "t", "split": "train"}], candidates=[{"image_id": "a", "caption": ""}]
    )
    assert read_triplets(triplets, "split").column_names == ["split"]
    assert read_candidates(triplets, "image_id", "caption").column_names == ["image_id", "caption"]
    with pytest.raises(StoreError, match=r"triplets.parquet of triplets \w+ has no column 'reference_id'.*spn4cir run"):
        training_triplets(triplets)
    with pytest.raises(StoreError, match=r"candidates.parquet .* has no column 'path'"):
        read_candidates(triplets)
