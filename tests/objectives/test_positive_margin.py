from __future__ import annotations

import pytest

from spn4cir_core.objectives.positive_margin import PositiveMargin
from tests.objectives.examples import example, slow_info_nce, slow_scores, weighted


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("rule", ["percent", "absolute"])
@pytest.mark.parametrize("top_k", [2, None])
def test_negatives_lie_a_margin_below_the_target(stage: int, rule: str, top_k: int | None) -> None:
    case = example(stage)
    case.texts_BD.mul_(0.2)
    batch, losses, left_out = case.batch(), [], 0
    for slow in slow_scores(batch):
        ceiling = slow.positive - 0.3 * (abs(slow.positive) if rule == "percent" else 1)
        remaining = [score for score in slow.negatives.values() if score <= ceiling]
        left_out += len(slow.negatives) - len(remaining)
        losses.append(slow_info_nce(slow.positive, sorted(remaining, reverse=True)[:top_k]))
    assert left_out > 3
    loss = PositiveMargin(rule=rule, margin=0.3, top_k=top_k).loss(batch).item()
    assert loss == pytest.approx(weighted(batch, losses), rel=1e-9)
