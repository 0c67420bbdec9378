from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from spn4cir_core.engine.processes import ALONE
from spn4cir_core.engine.progress import silent
from spn4cir_core.errors import TrainingError
from spn4cir_core.training.cached_features import BATCH_ROWS, cached_features


class Doubling(nn.Module):
    """A network as far as this needs one."""

    features_dtype = "float16"

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by, self.passes = by, 0

    def image_features(self, images: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        return images.float() * self.by


def features_of(by: float, inputs: np.ndarray, folder: Path) -> tuple[np.ndarray, int]:
    network: Any = Doubling(by)
    return cached_features(network, inputs, folder, "cpu", silent, ALONE), network.passes


def test_every_picture_passes_the_towers_once(tmp_path: Path) -> None:
    inputs = np.random.default_rng(0).integers(0, 256, (2 * BATCH_ROWS + 3, 3, 4), dtype=np.uint8)
    features, passes = features_of(2, inputs, tmp_path)
    np.testing.assert_array_equal(features, (inputs * 2.0).astype(np.float16))
    assert features.dtype == np.float16 and passes == 3
    assert not [*tmp_path.iterdir()], "the scratch file has no name left"


def test_what_float16_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="keep_features = false"):
        features_of(1e4, np.full((2, 3), 200, np.uint8), tmp_path)
