from __future__ import annotations

from dataclasses import replace

import pytest

from spn4cir_core.objectives.nearest import Nearest
from tests.objectives.examples import example, slow_info_nce, slow_scores, weighted


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("top_k", [1, 3, None])
def test_only_the_highest_scores_stand_in_the_denominator(stage: int, top_k: int | None) -> None:
    batch = example(stage).batch()
    losses = [
        slow_info_nce(slow.positive, sorted(slow.negatives.values(), reverse=True)[:top_k])
        for slow in slow_scores(batch)
    ]
    assert Nearest(top_k=top_k).loss(batch).item() == pytest.approx(weighted(batch, losses), rel=1e-9)


def test_in_stage_2_the_batch_can_still_be_asked_for() -> None:
    batch = example(2).batch()
    losses = [
        slow_info_nce(slow.positive, [*slow.negatives.values()]) for slow in slow_scores(replace(batch, bank_ND=None))
    ]
    assert Nearest(over="batch").loss(batch).item() == pytest.approx(weighted(batch, losses), rel=1e-9)
