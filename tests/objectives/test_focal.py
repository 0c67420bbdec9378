from __future__ import annotations

import numpy as np
import pytest

from spn4cir_core.objectives.focal import Focal
from tests.objectives.examples import example, slow_info_nce, slow_scores, weighted


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_what_is_answered_already_weighs_less(stage: int, gamma: float) -> None:
    batch = example(stage).batch()
    plain = [slow_info_nce(slow.positive, [*slow.negatives.values()]) for slow in slow_scores(batch)]
    losses = [(1 - np.exp(-loss)) ** gamma * loss for loss in plain]
    assert Focal(gamma=gamma).loss(batch).item() == pytest.approx(weighted(batch, losses), rel=1e-9)
