from __future__ import annotations

import pytest

from spn4cir_core.objectives.swapped_texts import SwappedTexts
from tests.objectives.examples import example, slow_info_nce, weighted


@pytest.mark.parametrize("stage", [1, 2])
def test_the_swapped_text_is_the_one_wrong_class(stage: int) -> None:
    batch = example(stage).batch()
    losses = []
    for query, swapped, target in zip(
        batch.queries_BD.detach(), batch.output("swapped_queries").detach(), batch.targets_BD, strict=True
    ):
        wrong = [float(swapped @ target)] if swapped.abs().sum() > 0 else []
        losses.append(slow_info_nce(float(query @ target), wrong))
    assert losses.count(0.0) == 1
    assert SwappedTexts().loss(batch).item() == pytest.approx(weighted(batch, losses), rel=1e-9)
