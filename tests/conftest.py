"""Fixtures shared by all rooms."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photographs and annotations, where a developer or CI has them; never part of the repository."""
    folder = Path(os.environ.get("SPN4CIR_TEST_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set SPN4CIR_TEST_DATA to a copy")
    return folder.resolve()
