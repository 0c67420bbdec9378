from __future__ import annotations

import numpy as np
import pytest

from spn4cir_core.objectives.label_smoothing import LabelSmoothing
from tests.objectives.examples import TAU, example, slow_scores, weighted


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_negatives_share_a_little_of_the_mass(stage: int, epsilon: float) -> None:
    batch = example(stage).batch()
    losses = []
    for slow in slow_scores(batch):
        scores = np.array([slow.positive, *slow.negatives.values()]) / TAU
        shares = np.exp(scores) / np.exp(scores).sum()
        wanted = [1 - epsilon, *[epsilon / len(slow.negatives)] * len(slow.negatives)]
        losses.append(-float(np.dot(wanted, np.log(shares))))
    assert LabelSmoothing(epsilon=epsilon).loss(batch).item() == pytest.approx(weighted(batch, losses), rel=1e-9)
