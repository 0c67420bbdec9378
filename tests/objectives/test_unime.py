from __future__ import annotations

import pytest

from spn4cir_core.objectives.unime import UniME
from tests.objectives.examples import example, slow_info_nce, slow_scores, weighted


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("top_k", [2, 8, None])
def test_those_far_above_the_target_are_masked_before_the_hardest_are_kept(stage: int, top_k: int | None) -> None:
    # Queries that mostly ignore the text, so that some wrong candidates beat the target.
    case = example(stage)
    case.texts_BD.mul_(0.05)
    batch, losses, masked = case.batch(), [], 0
    for slow in slow_scores(batch):
        remaining = [score for score in slow.negatives.values() if score <= slow.positive + 0.1]
        masked += len(slow.negatives) - len(remaining)
        losses.append(slow_info_nce(slow.positive, sorted(remaining, reverse=True)[:top_k]))
    assert masked > 2
    assert UniME(top_k=top_k).loss(batch).item() == pytest.approx(weighted(batch, losses), rel=1e-9)
