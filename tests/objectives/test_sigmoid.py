from __future__ import annotations

import math

import pytest

from spn4cir_core.objectives.sigmoid import Sigmoid
from tests.objectives.examples import TAU, example, slow_scores, weighted


def right(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("bias", [None, -3.0])
def test_every_pair_is_judged_alone(stage: int, bias: float | None) -> None:
    batch = example(stage).batch()
    losses = []
    for slow in slow_scores(batch):
        shift = -math.log(len(slow.negatives)) if bias is None else bias
        wrong = [-math.log(1 - right(score / TAU + shift)) for score in slow.negatives.values()]
        losses.append(-math.log(right(slow.positive / TAU + shift)) + sum(wrong))
    assert Sigmoid(bias=bias).loss(batch).item() == pytest.approx(weighted(batch, losses), rel=1e-9)
