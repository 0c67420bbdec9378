"""An approximate index gives as many images as are wanted, however many its search passes over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spn4cir_core.index.base import INDEXES
from spn4cir_core.index.image_index import best_images_of_each


def clusters(seed: int, copies: int) -> np.ndarray:
    """(600, 16) unit vectors in 30 tight clusters, of which the first holds ``copies`` equal ones."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((30, 16))
    vectors = np.repeat(centres, 20, axis=0) + 0.01 * rng.standard_normal((600, 16))
    vectors[:copies] = centres[0]
    return (vectors / np.linalg.norm(vectors, axis=1)[:, None]).astype(np.float32)


@pytest.mark.parametrize("copies", [0, 60])
@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "ivf", "probed_share": 0.02},
        {"kind": "hnsw", "hnsw_links": 2, "hnsw_breadth": 1},
        {"kind": "flat"},
    ],
    ids=lambda settings: settings["kind"],
)
def test_as_many_images_as_are_wanted(settings: dict[str, Any], tokens: int, copies: int, tmp_path: Path) -> None:
    vectors_VD, kind = clusters(0, copies), INDEXES.build(settings)
    kind.write(kind.build(vectors_VD, 0), tmp_path / "index")
    opened = kind.open(tmp_path / "index")
    images = len(vectors_VD) // tokens
    for wanted in (1, 50, images, images + 7):
        for hits in best_images_of_each(opened, vectors_VD[[0, 333]], wanted, tokens):
            assert len({image for _, image in hits}) == len(hits) == min(wanted, images)
            assert [score for score, _ in hits] == sorted((score for score, _ in hits), reverse=True)
