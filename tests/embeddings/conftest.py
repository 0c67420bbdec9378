from __future__ import annotations

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def pictures() -> list[Image.Image]:
    """Twenty small pictures of noise, of different sizes."""
    rng = np.random.default_rng(0)
    sizes = [(40 + 3 * number, 64 - number) for number in range(20)]
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)) for size in sizes]
