from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spn4cir_core.engine.npy_rows import scatter_rows, write_rows


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32])
def test_blocks_written_in_any_order_make_the_file_numpy_would_save(tmp_path: Path, dtype: type) -> None:
    rows = (np.random.default_rng(0).random((7, 2, 3)) * 100).astype(dtype)
    with (tmp_path / "ours.npy").open("w+b") as file:
        for start, stop in ((5, 7), (0, 2), (2, 5), (3, 3)):
            write_rows(file.fileno(), 7, start, rows[start:stop])
    np.save(tmp_path / "theirs.npy", rows)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()


def test_rows_of_a_block_go_where_they_are_wanted(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((5, 2, 3)).astype(np.float16)
    with (tmp_path / "ours.npy").open("w+b") as file:
        scatter_rows(file.fileno(), 5, rows[[4, 1, 0]], [[4, 3], [], [0]])
        scatter_rows(file.fileno(), 5, rows[[2, 1]], [[2], [1]])
    assert (np.load(tmp_path / "ours.npy") == rows[[0, 1, 2, 4, 4]]).all()


def test_a_full_disk_is_an_error() -> None:
    with Path("/dev/full").open("r+b", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        write_rows(file.fileno(), 1, 0, np.zeros((1, 4)))
