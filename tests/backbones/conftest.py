"""Tables of small backbones; their weights are written once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest

from tests.backbones.small_backbones import WRITERS


@pytest.fixture(scope="session")
def small_table(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """Kind → the recipe table of its smallest network."""
    return lru_cache(lambda kind: WRITERS[kind](tmp_path_factory.mktemp(kind)))
