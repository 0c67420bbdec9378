from __future__ import annotations

import pytest

from spn4cir_core.objectives.hinge import Hinge
from tests.objectives.examples import example, slow_scores, weighted


@pytest.mark.parametrize(("keep", "reduce"), [("max", max), ("sum", sum)])
def test_over_a_bank_hinges_are_summed_or_the_greatest_taken(keep: str, reduce: object) -> None:
    batch = example(2).batch()
    losses = [
        reduce(max(0.0, 0.4 + score - slow.positive) for score in slow.negatives.values())  # type: ignore[operator]
        for slow in slow_scores(batch)
    ]
    assert sum(loss > 0 for loss in losses) >= 3
    assert Hinge(keep=keep, margin=0.4).loss(batch).item() == pytest.approx(weighted(batch, losses), rel=1e-9)


@pytest.mark.parametrize(("keep", "reduce"), [("max", max), ("sum", sum)])
@pytest.mark.parametrize("top_k", [None, 200])
def test_in_the_batch_targets_also_ask_the_queries(keep: str, reduce: object, top_k: int | None) -> None:
    batch = example(1).batch()
    rows, result = slow_scores(batch), []
    for slow in rows:
        own = [max(0.0, 0.4 + score - slow.positive) for score in slow.negatives.values()]
        requests = [
            max(0.0, 0.4 + other.negatives[slow.position] - slow.positive)
            for other in rows
            if slow.position in other.negatives
        ]
        result.append(reduce(own) + reduce(requests))  # type: ignore[operator]
    loss = Hinge(keep=keep, margin=0.4, top_k=top_k).loss(batch).item()
    assert loss == pytest.approx(weighted(batch, result), rel=1e-9)
