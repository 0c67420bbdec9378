"""Values kept per key: vectors in the order that a caller wants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from spn4cir_core.errors import StoreError
from spn4cir_core.store.rows import Rows


def test_vectors_come_in_the_order_of_the_keys(tmp_path: Path) -> None:
    rows = Rows(tmp_path, pa.list_(pa.float32()))
    rows.append(["b", "none"], pa.array([[1, 2], None], pa.list_(pa.float32())))
    rows.append(["a", "b"], pa.array([[3, 4], [9, 9]], pa.list_(pa.float32())))
    assert rows.vectors(["a", "b", "a"]).tolist() == [[3, 4], [1, 2], [3, 4]]
    assert rows.vectors([]).dtype == np.float32
    with pytest.raises(StoreError, match="no value of 2 keys, such as 'c'"):
        rows.vectors(["a", "c", "none"])


def test_vectors_of_a_model_that_has_changed_since_are_one_error(tmp_path: Path) -> None:
    rows = Rows(tmp_path, pa.list_(pa.float32()))
    rows.append(["a"], pa.array([[1, 2]], pa.list_(pa.float32())))
    rows.append(["b"], pa.array([[1, 2, 3]], pa.list_(pa.float32())))
    with pytest.raises(StoreError, match="vectors of 2 and of 3 numbers: the model behind the same name has changed"):
        rows.vectors(["a", "b"])


def test_keys_with_a_value_are_those_that_are_not_null(tmp_path: Path) -> None:
    rows = Rows(tmp_path, pa.list_(pa.float32()))
    rows.append(["b", "none"], pa.array([[1, 2], None], pa.list_(pa.float32())))
    rows.append(["a", "b"], pa.array([[3, 4], [9, 9]], pa.list_(pa.float32())))
    rows.append(["empty", "c"], pa.array([[], [None, 1]], pa.list_(pa.float32())))
    assert list(rows.valid_keys()) == [["b"], ["a", "b"], ["empty", "c"]]
    part = rows.parts()[1]
    part.write_bytes(part.read_bytes()[:-10])
    with pytest.raises(StoreError, match="is damaged"):
        list(rows.valid_keys())
